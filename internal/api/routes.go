package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/saba-monitor/saba"
)

// A route is one call of the API.
type route struct {
	method     string
	path       string // below /api/v0, as http.ServeMux reads it
	permission saba.Permission
	limit      int64 // bytes of its body, inflated; 0 when the call has no body that matters
	handler    func(*server, http.ResponseWriter, *call) error
}

// authorize decides whether p may make the call. The calls about AWS answer a missing flag as if the key were unknown.
func (r route) authorize(p saba.Principal) error {
	err := p.Authorize(r.permission)
	if errors.Is(err, saba.ErrForbidden) && strings.HasPrefix(r.path, "/aws-integrations") {
		return saba.Errorf(saba.ErrUnauthorized, "%v", err)
	}
	return err
}

// Limits of request bodies in bytes. An agent's largest batch after an outage is under 1 MiB;
// the agent of a container host with hundreds of containers sends a few.
const (
	smallBody  = 1 << 20
	hostBody   = 4 << 20
	pointsBody = 16 << 20
)

// What is said of the parts of the protocol that saba does not have.
const (
	noTraces = "saba keeps no traces: send them to a tracing system"
	noAPM    = "saba has no statistics of requests and queries: they are made of traces, which it does not keep"
)

// routes returns every call, as the API's table of contents. Permissions are the protocol's and
// do not follow from the method.
func routes() []route {
	const (
		get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
		r, w, rw            = saba.Read, saba.Write, saba.ReadWrite
		metadata            = saba.MaxMetadataSize + 1<<10 // room for blanks around the value
	)
	return []route{
		{get, "/org", r, 0, (*server).orgShow},

		{post, "/hosts", rw, hostBody, (*server).hostCreate},
		{get, "/hosts", r, 0, (*server).hostList},
		{get, "/hosts.json", r, 0, (*server).hostList},
		{get, "/hosts/{host}", r, 0, (*server).hostShow},
		{put, "/hosts/{host}", rw, hostBody, (*server).hostUpdate},
		{post, "/hosts/{host}/status", rw, smallBody, (*server).hostStatus},
		{put, "/hosts/{host}/role-fullnames", w, smallBody, (*server).hostRoles},
		{post, "/hosts/{host}/retire", rw, 0, (*server).hostRetire},
		{post, "/hosts/bulk-update-statuses", rw, smallBody, (*server).hostBulkStatus},
		{post, "/hosts/bulk-retire", rw, smallBody, (*server).hostBulkRetire},
		{get, "/hosts-by-custom-identifier/{identifier}", r, 0, (*server).hostByCustomIdentifier},
		{get, "/hosts/{host}/monitored-statuses", r, 0, (*server).hostMonitoredStatuses},
		{get, "/hosts/{host}/metric-names", r, 0, (*server).hostMetricNames},
		{get, "/hosts/{host}/metrics", r, 0, (*server).hostMetrics},

		{post, "/tsdb", rw, pointsBody, (*server).hostPoints},
		{get, "/tsdb/latest", r, 0, (*server).latest},

		{post, "/graph-defs/create", rw, hostBody, (*server).graphDefsCreate},
		{del, "/graph-defs", rw, smallBody, (*server).graphDefDelete},

		{post, "/monitoring/checks/report", rw, hostBody, (*server).checksReport},
		{get, "/monitoring/checks", r, 0, (*server).checkList},
		{get, "/monitoring/checks/{check}", r, 0, (*server).checkShow},

		{get, "/services", r, 0, (*server).serviceList},
		{post, "/services", rw, smallBody, (*server).serviceCreate},
		{del, "/services/{service}", rw, 0, (*server).serviceDelete},
		{get, "/services/{service}/roles", r, 0, (*server).roleList},
		{post, "/services/{service}/roles", rw, smallBody, (*server).roleCreate},
		{del, "/services/{service}/roles/{role}", rw, 0, (*server).roleDelete},
		{post, "/services/{service}/tsdb", rw, pointsBody, (*server).servicePoints},
		{get, "/services/{service}/metric-names", r, 0, (*server).serviceMetricNames},
		{get, "/services/{service}/metrics", r, 0, (*server).serviceMetrics},

		{get, "/hosts/{host}/metadata", r, 0, (*server).metadataList},
		{get, "/hosts/{host}/metadata/{namespace}", r, 0, (*server).metadataShow},
		{put, "/hosts/{host}/metadata/{namespace}", rw, metadata, (*server).metadataPut},
		{del, "/hosts/{host}/metadata/{namespace}", rw, 0, (*server).metadataDelete},
		{get, "/services/{service}/metadata", r, 0, (*server).metadataList},
		{get, "/services/{service}/metadata/{namespace}", r, 0, (*server).metadataShow},
		{put, "/services/{service}/metadata/{namespace}", rw, metadata, (*server).metadataPut},
		{del, "/services/{service}/metadata/{namespace}", rw, 0, (*server).metadataDelete},
		{get, "/services/{service}/roles/{role}/metadata", r, 0, (*server).metadataList},
		{get, "/services/{service}/roles/{role}/metadata/{namespace}", r, 0, (*server).metadataShow},
		{put, "/services/{service}/roles/{role}/metadata/{namespace}", rw, metadata, (*server).metadataPut},
		{del, "/services/{service}/roles/{role}/metadata/{namespace}", rw, 0, (*server).metadataDelete},

		{get, "/monitors", r, 0, (*server).monitorList},
		{post, "/monitors", rw, smallBody, (*server).monitorCreate},
		{get, "/monitors/{monitor}", r, 0, (*server).monitorShow},
		{put, "/monitors/{monitor}", rw, smallBody, (*server).monitorUpdate},
		{del, "/monitors/{monitor}", rw, 0, (*server).monitorDelete},

		{get, "/downtimes", r, 0, (*server).downtimeList},
		{post, "/downtimes", rw, smallBody, (*server).downtimeCreate},
		{put, "/downtimes/{downtime}", rw, smallBody, (*server).downtimeUpdate},
		{del, "/downtimes/{downtime}", rw, 0, (*server).downtimeDelete},

		{get, "/alerts", r, 0, (*server).alertList},
		{get, "/alerts/{alert}", r, 0, (*server).alertShow},
		{put, "/alerts/{alert}", rw, smallBody, (*server).alertUpdate},
		{post, "/alerts/{alert}/close", rw, smallBody, (*server).alertClose},
		{get, "/alerts/{alert}/logs", r, 0, (*server).alertLogs},

		{get, "/alert-group-settings", r, 0, (*server).alertGroupList},
		{post, "/alert-group-settings", rw, smallBody, (*server).alertGroupCreate},
		{get, "/alert-group-settings/{alertGroup}", r, 0, (*server).alertGroupShow},
		{put, "/alert-group-settings/{alertGroup}", rw, smallBody, (*server).alertGroupUpdate},
		{del, "/alert-group-settings/{alertGroup}", rw, 0, (*server).alertGroupDelete},

		{get, "/channels", r, 0, (*server).channelList},
		{post, "/channels", rw, smallBody, (*server).channelCreate},
		{put, "/channels/{channel}", rw, smallBody, (*server).channelUpdate},
		{del, "/channels/{channel}", rw, 0, (*server).channelDelete},

		{get, "/notification-groups", r, 0, (*server).notificationGroupList},
		{post, "/notification-groups", rw, smallBody, (*server).notificationGroupCreate},
		{put, "/notification-groups/{group}", rw, smallBody, (*server).notificationGroupUpdate},
		{del, "/notification-groups/{group}", rw, 0, (*server).notificationGroupDelete},

		{get, "/dashboards", r, 0, (*server).dashboardList},
		{post, "/dashboards", rw, hostBody, (*server).dashboardCreate},
		{get, "/dashboards/{dashboard}", r, 0, (*server).dashboardShow},
		{put, "/dashboards/{dashboard}", rw, hostBody, (*server).dashboardUpdate},
		{del, "/dashboards/{dashboard}", rw, 0, (*server).dashboardDelete},

		{get, "/graph-annotations", r, 0, (*server).annotationList},
		{post, "/graph-annotations", rw, smallBody, (*server).annotationCreate},
		{put, "/graph-annotations/{annotation}", rw, smallBody, (*server).annotationUpdate},
		{del, "/graph-annotations/{annotation}", rw, 0, (*server).annotationDelete},

		{get, "/users", r, 0, (*server).memberList},
		{del, "/users/{user}", rw, 0, (*server).memberDelete},
		{get, "/invitations", r, 0, (*server).invitationList},
		{post, "/invitations", rw, smallBody, (*server).invitationCreate},
		{post, "/invitations/revoke", rw, smallBody, (*server).invitationRevoke},
		{get, "/settings/ip-restriction/web", r, 0, networksShow(saba.SurfaceWeb)},
		{post, "/settings/ip-restriction/web", rw, smallBody, networksSet(saba.SurfaceWeb)},
		{get, "/settings/ip-restriction/api", r, 0, networksShow(saba.SurfaceAPI)},
		{post, "/settings/ip-restriction/api", rw, smallBody, networksSet(saba.SurfaceAPI)},

		{get, "/aws-integrations", r, 0, (*server).awsList},
		{post, "/aws-integrations", rw, smallBody, (*server).awsCreate},
		{get, "/aws-integrations/{aws}", r, 0, (*server).awsShow},
		{put, "/aws-integrations/{aws}", rw, smallBody, (*server).awsUpdate},
		{del, "/aws-integrations/{aws}", rw, 0, (*server).awsDelete},
		{post, "/aws-integrations-external-id", rw, 0, (*server).awsExternalID},
		{get, "/aws-integrations-excludable-metrics", r, 0, (*server).awsMetrics},

		{post, "/traces", r, 0, absent(noTraces)},
		{get, "/traces/{trace}", r, 0, absent(noTraces)},
		{get, "/apm/http-server-stats", r, 0, absent(noAPM)},
		{get, "/apm/db-query-stats", r, 0, absent(noAPM)},
	}
}
