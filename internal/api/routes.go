package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/saba-monitor/saba"
	"github.com/saba-monitor/saba/internal/body"
)

// A route is one call of the API.
type route struct {
	method     string
	path       string // below /api/v0, as http.ServeMux reads it
	permission saba.Permission
	limit      int64 // bytes of its body, inflated; 0 when the call has no body that matters
	handler    func(*server, http.ResponseWriter, *call) error
	in, out    any // a value of the type of its body and of its answer, for the description of the API; nil where there is none
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
	smallBody  = body.Small
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
		{get, "/org", r, 0, (*server).orgShow, nil, orgOut{}},

		{post, "/hosts", rw, hostBody, (*server).hostCreate, hostIn{}, created{}},
		{get, "/hosts", r, 0, (*server).hostList, nil, hostListOut{}},
		{get, "/hosts.json", r, 0, (*server).hostList, nil, hostListOut{}},
		{get, "/hosts/{host}", r, 0, (*server).hostShow, nil, hostAnswer{}},
		{put, "/hosts/{host}", rw, hostBody, (*server).hostUpdate, hostIn{}, created{}},
		{post, "/hosts/{host}/status", rw, smallBody, (*server).hostStatus, hostStatusIn{}, success{}},
		{put, "/hosts/{host}/role-fullnames", w, smallBody, (*server).hostRoles, hostRolesIn{}, success{}},
		{post, "/hosts/{host}/retire", rw, 0, (*server).hostRetire, nil, success{}},
		{post, "/hosts/{host}/unretire", rw, 0, (*server).hostRevive, nil, success{}}, // saba's own
		{post, "/hosts/bulk-update-statuses", rw, smallBody, (*server).hostBulkStatus, bulkStatusIn{}, success{}},
		{post, "/hosts/bulk-retire", rw, smallBody, (*server).hostBulkRetire, bulkIn{}, success{}},
		{get, "/hosts-by-custom-identifier/{identifier}", r, 0, (*server).hostByCustomIdentifier, nil, hostAnswer{}},
		{get, "/hosts/{host}/monitored-statuses", r, 0, (*server).hostMonitoredStatuses, nil, monitoredStatusesOut{}},
		{get, "/hosts/{host}/metric-names", r, 0, (*server).hostMetricNames, nil, namesAnswer{}},
		{get, "/hosts/{host}/metrics", r, 0, (*server).hostMetrics, nil, metricsAnswer{}},

		{post, "/tsdb", rw, pointsBody, (*server).hostPoints, []pointIn{}, success{}},
		{get, "/tsdb/latest", r, 0, (*server).latest, nil, latestOut{}},

		{post, "/graph-defs/create", rw, hostBody, (*server).graphDefsCreate, []graphDefIn{}, success{}},
		{del, "/graph-defs", rw, smallBody, (*server).graphDefDelete, graphDefDeleteIn{}, success{}},

		{post, "/monitoring/checks/report", rw, hostBody, (*server).checksReport, reportsIn{}, success{}},
		{get, "/monitoring/checks", r, 0, (*server).checkList, nil, checkListOut{}},
		{get, "/monitoring/checks/{check}", r, 0, (*server).checkShow, nil, checkAnswer{}},

		{get, "/services", r, 0, (*server).serviceList, nil, under{"services": []serviceOut{}}},
		{post, "/services", rw, smallBody, (*server).serviceCreate, namedIn{}, serviceOut{}},
		{put, "/services/{service}", rw, smallBody, (*server).serviceUpdate, namedIn{}, serviceOut{}},        // saba's own
		{put, "/services/{service}/roles/{role}", rw, smallBody, (*server).roleUpdate, namedIn{}, roleOut{}}, // saba's own
		{del, "/services/{service}/graph-defs/{graph}", rw, 0, (*server).serviceGraphDelete, nil, success{}},
		{del, "/services/{service}", rw, 0, (*server).serviceDelete, nil, serviceOut{}},
		{get, "/services/{service}/roles", r, 0, (*server).roleList, nil, under{"roles": []roleOut{}}},
		{post, "/services/{service}/roles", rw, smallBody, (*server).roleCreate, namedIn{}, roleOut{}},
		{del, "/services/{service}/roles/{role}", rw, 0, (*server).roleDelete, nil, roleOut{}},
		{post, "/services/{service}/tsdb", rw, pointsBody, (*server).servicePoints, []servicePointIn{}, success{}},
		{get, "/services/{service}/metric-names", r, 0, (*server).serviceMetricNames, nil, namesAnswer{}},
		{get, "/services/{service}/metrics", r, 0, (*server).serviceMetrics, nil, metricsAnswer{}},

		{get, "/hosts/{host}/metadata", r, 0, (*server).metadataList, nil, under{"metadata": []namespaceOut{}}},
		{get, "/hosts/{host}/metadata/{namespace}", r, 0, (*server).metadataShow, nil, json.RawMessage{}},
		{put, "/hosts/{host}/metadata/{namespace}", rw, metadata, (*server).metadataPut, json.RawMessage{}, success{}},
		{del, "/hosts/{host}/metadata/{namespace}", rw, 0, (*server).metadataDelete, nil, success{}},
		{get, "/services/{service}/metadata", r, 0, (*server).metadataList, nil, under{"metadata": []namespaceOut{}}},
		{get, "/services/{service}/metadata/{namespace}", r, 0, (*server).metadataShow, nil, json.RawMessage{}},
		{put, "/services/{service}/metadata/{namespace}", rw, metadata, (*server).metadataPut, json.RawMessage{}, success{}},
		{del, "/services/{service}/metadata/{namespace}", rw, 0, (*server).metadataDelete, nil, success{}},
		{get, "/services/{service}/roles/{role}/metadata", r, 0, (*server).metadataList, nil, under{"metadata": []namespaceOut{}}},
		{get, "/services/{service}/roles/{role}/metadata/{namespace}", r, 0, (*server).metadataShow, nil, json.RawMessage{}},
		{put, "/services/{service}/roles/{role}/metadata/{namespace}", rw, metadata, (*server).metadataPut, json.RawMessage{}, success{}},
		{del, "/services/{service}/roles/{role}/metadata/{namespace}", rw, 0, (*server).metadataDelete, nil, success{}},

		{get, "/monitors", r, 0, (*server).monitorList, nil, under{"monitors": []monitorOut{}}},
		{post, "/monitors", rw, smallBody, (*server).monitorCreate, monitorIn{}, monitorOut{}},
		{post, "/monitors/preview", r, smallBody, (*server).monitorPreview, previewIn{}, previewOut{}}, // saba's own
		{get, "/monitors/{monitor}", r, 0, (*server).monitorShow, nil, monitorAnswer{}},
		{put, "/monitors/{monitor}", rw, smallBody, (*server).monitorUpdate, monitorIn{}, monitorOut{}},
		{del, "/monitors/{monitor}", rw, 0, (*server).monitorDelete, nil, monitorOut{}},

		{get, "/downtimes", r, 0, (*server).downtimeList, nil, under{"downtimes": []saba.Downtime{}}},
		{post, "/downtimes", rw, smallBody, (*server).downtimeCreate, downtimeIn{}, saba.Downtime{}},
		{put, "/downtimes/{downtime}", rw, smallBody, (*server).downtimeUpdate, downtimeIn{}, saba.Downtime{}},
		{del, "/downtimes/{downtime}", rw, 0, (*server).downtimeDelete, nil, saba.Downtime{}},

		{get, "/alerts", r, 0, (*server).alertList, nil, alertListOut{}},
		{get, "/alerts/{alert}", r, 0, (*server).alertShow, nil, alertOut{}},
		{put, "/alerts/{alert}", rw, smallBody, (*server).alertUpdate, alertMemoIn{}, alertMemo{}},
		{post, "/alerts/{alert}/close", rw, smallBody, (*server).alertClose, alertCloseIn{}, alertOut{}},
		{post, "/alerts/{alert}/acknowledge", rw, smallBody, (*server).alertAcknowledge, handlingIn{}, alertOut{}},    // saba's own
		{post, "/alerts/{alert}/assign", rw, smallBody, (*server).alertAssign, handlingIn{}, alertOut{}},              // saba's own
		{post, "/alerts/{alert}/mute", rw, smallBody, (*server).alertMute, alertMuteIn{}, alertOut{}},                 // saba's own
		{get, "/alerts/{alert}/notifications", r, 0, (*server).alertNotifications, nil, under{"events": []toldOut{}}}, // saba's own
		{get, "/alerts/{alert}/culprits", r, 0, (*server).alertCulprits, nil, alertCulpritsOut{}},                     // saba's own
		{get, "/alerts/{alert}/logs", r, 0, (*server).alertLogs, nil, alertLogListOut{}},

		{get, "/alert-group-settings", r, 0, (*server).alertGroupList, nil, under{"alertGroupSettings": []alertGroupOut{}}},
		{post, "/alert-group-settings", rw, smallBody, (*server).alertGroupCreate, alertGroupIn{}, alertGroupOut{}},
		{get, "/alert-group-settings/{alertGroup}", r, 0, (*server).alertGroupShow, nil, alertGroupOut{}},
		{put, "/alert-group-settings/{alertGroup}", rw, smallBody, (*server).alertGroupUpdate, alertGroupIn{}, alertGroupOut{}},
		{del, "/alert-group-settings/{alertGroup}", rw, 0, (*server).alertGroupDelete, nil, alertGroupOut{}},

		{get, "/channels", r, 0, (*server).channelList, nil, under{"channels": []channelOut{}}},
		{post, "/channels", rw, smallBody, (*server).channelCreate, newChannelIn{}, channelOut{}},
		{put, "/channels/{channel}", rw, smallBody, (*server).channelUpdate, channelIn{}, channelOut{}},
		{post, "/channels/{channel}/test", rw, 0, (*server).channelTest, nil, success{}},          // saba's own
		{post, "/channels/{channel}/release", rw, 0, (*server).channelRelease, nil, channelOut{}}, // saba's own
		{del, "/channels/{channel}", rw, 0, (*server).channelDelete, nil, channelOut{}},

		{get, "/notification-groups", r, 0, (*server).notificationGroupList, nil, under{"notificationGroups": []notificationGroupOut{}}},
		{post, "/notification-groups", rw, smallBody, (*server).notificationGroupCreate, notificationGroupIn{}, notificationGroupOut{}},
		{put, "/notification-groups/{group}", rw, smallBody, (*server).notificationGroupUpdate, notificationGroupIn{}, notificationGroupOut{}},
		{del, "/notification-groups/{group}", rw, 0, (*server).notificationGroupDelete, nil, notificationGroupOut{}},

		{get, "/dashboards", r, 0, (*server).dashboardList, nil, under{"dashboards": []dashboardOut{}}},
		{post, "/dashboards", rw, hostBody, (*server).dashboardCreate, dashboardIn{}, fullDashboardOut{}},
		{get, "/dashboards/{dashboard}", r, 0, (*server).dashboardShow, nil, fullDashboardOut{}},
		{put, "/dashboards/{dashboard}", rw, hostBody, (*server).dashboardUpdate, dashboardIn{}, fullDashboardOut{}},
		{del, "/dashboards/{dashboard}", rw, 0, (*server).dashboardDelete, nil, fullDashboardOut{}},

		{get, "/graph-annotations", r, 0, (*server).annotationList, nil, under{"graphAnnotations": []saba.GraphAnnotation{}}},
		{post, "/graph-annotations", rw, smallBody, (*server).annotationCreate, annotationIn{}, saba.GraphAnnotation{}},
		{put, "/graph-annotations/{annotation}", rw, smallBody, (*server).annotationUpdate, annotationIn{}, saba.GraphAnnotation{}},
		{del, "/graph-annotations/{annotation}", rw, 0, (*server).annotationDelete, nil, saba.GraphAnnotation{}},

		{get, "/users", r, 0, (*server).memberList, nil, under{"users": []memberOut{}}},
		{del, "/users/{user}", rw, 0, (*server).memberDelete, nil, memberOut{}},
		{get, "/invitations", r, 0, (*server).invitationList, nil, under{"invitations": []invitationOut{}}},
		{post, "/invitations", rw, smallBody, (*server).invitationCreate, invitationIn{}, invitationOut{}},
		{post, "/invitations/revoke", rw, smallBody, (*server).invitationRevoke, revokeIn{}, success{}},
		{get, "/settings/ip-restriction/web", r, 0, networksShow(saba.SurfaceWeb), nil, networksIO{}},
		{post, "/settings/ip-restriction/web", rw, smallBody, networksSet(saba.SurfaceWeb), networksIO{}, success{}},
		{get, "/settings/ip-restriction/api", r, 0, networksShow(saba.SurfaceAPI), nil, networksIO{}},
		{post, "/settings/ip-restriction/api", rw, smallBody, networksSet(saba.SurfaceAPI), networksIO{}, success{}},

		{get, "/aws-integrations", r, 0, (*server).awsList, nil, under{"aws_integrations": []saba.AWSIntegration{}}},
		{post, "/aws-integrations", rw, smallBody, (*server).awsCreate, awsIn{}, saba.AWSIntegration{}},
		{get, "/aws-integrations/{aws}", r, 0, (*server).awsShow, nil, saba.AWSIntegration{}},
		{put, "/aws-integrations/{aws}", rw, smallBody, (*server).awsUpdate, awsIn{}, saba.AWSIntegration{}},
		{del, "/aws-integrations/{aws}", rw, 0, (*server).awsDelete, nil, saba.AWSIntegration{}},
		{post, "/aws-integrations-external-id", rw, 0, (*server).awsExternalID, nil, externalIDOut{}},
		{get, "/aws-integrations-excludable-metrics", r, 0, (*server).awsMetrics, nil, map[string][]string{}},

		// saba's own
		{get, "/drains", r, 0, (*server).drainList, nil, under{"drains": []saba.Drain{}}},
		{post, "/drains", rw, smallBody, (*server).drainCreate, drainIn{}, newDrainOut{}},
		{post, "/drains/try", rw, smallBody, (*server).drainTry, drainTryIn{}, drainTryOut{}},
		{get, "/drains/{drain}", r, 0, (*server).drainShow, nil, saba.Drain{}},
		{put, "/drains/{drain}", rw, smallBody, (*server).drainUpdate, drainIn{}, saba.Drain{}},
		{get, "/drains/{drain}/status", r, 0, (*server).drainStatus, nil, drainStatusOut{}},
		{post, "/drains/{drain}/token", rw, 0, (*server).drainToken, nil, newDrainOut{}},
		{put, "/drains/{drain}/token", rw, smallBody, (*server).drainAdopt, drainTokenIn{}, saba.Drain{}},
		{del, "/drains/{drain}", rw, 0, (*server).drainDelete, nil, saba.Drain{}},

		{post, "/traces", r, 0, absent(noTraces), nil, nil},
		{get, "/traces/{trace}", r, 0, absent(noTraces), nil, nil},
		{get, "/apm/http-server-stats", r, 0, absent(noAPM), nil, nil},
		{get, "/apm/db-query-stats", r, 0, absent(noAPM), nil, nil},
	}
}
