package api

import (
	"net/http"

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

// Limits of request bodies in bytes. An agent's largest batch after an outage is under 1 MiB;
// the agent of a container host with hundreds of containers sends a few.
const (
	smallBody  = 1 << 20
	hostBody   = 4 << 20
	pointsBody = 16 << 20
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
	}
}
