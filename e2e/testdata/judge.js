// Calls each function of the client that sends what the API takes, and compares what comes back. It leaves out those whose address or method is not
// the API's: getLatestMetric, modifyMonitor, deleteMonitor, modifyGraphAnnotation, deleteGraphAnnotation and deleteUser.
const assert = require("node:assert");
const Mackerel = require("mackerel");

const client = new Mackerel(process.env.KEY, { origin: process.env.BASE });

const does = async (what, call, check) => {
  const { body } = await call;
  const got = JSON.parse(body);
  try {
    check(got);
  } catch (e) {
    e.message = `${what}: ${e.message}: ${body}`;
    throw e;
  }
  console.log("ok", what);
  return got;
};
const success = (r) => assert.deepStrictEqual(r, { success: true });

(async () => {
  const now = Math.floor(Date.now() / 1000);
  await does("getOrganization", client.getOrganization(), (r) => assert.ok(r.name));
  const host = await does("addHost", client.addHost({ name: "js1", meta: {}, interfaces: [] }), (r) => assert.match(r.id, /^\w+$/));
  await does("getHosts", client.getHosts(), (r) => assert.deepStrictEqual(r.hosts.map((h) => h.name), ["js1"]));
  await does("modifyHostStatus", client.modifyHostStatus(host.id, "maintenance"), success);
  await does("modifyHostRole", client.modifyHostRole(host.id, ["shop:web"]), success);
  await does("getHost", client.getHost(host.id), (r) => {
    assert.strictEqual(r.host.status, "maintenance");
    assert.deepStrictEqual(r.host.roles, { shop: ["web"] });
  });
  await does("getServices", client.getServices(), (r) => assert.deepStrictEqual(r.services, [{ name: "shop", memo: "", roles: ["web"] }]));
  await does("getRoles", client.getRoles("shop"), (r) => assert.deepStrictEqual(r.roles, [{ name: "web", memo: "" }]));
  await does("postMetrics", client.postMetrics([{ hostId: host.id, name: "custom.a.b", value: 3 }]), success);
  await does("getHostMetrics", client.getHostMetrics(host.id), (r) => assert.deepStrictEqual(r.names, ["custom.a.b"]));
  await does("getHostMetric", client.getHostMetric(host.id, "custom.a.b", (now - 3600) * 1000, (now + 60) * 1000), (r) => assert.deepStrictEqual(r.metrics.map((m) => m.value), [3]));
  await does("postServiceMetrics", client.postServiceMetrics("shop", [{ name: "sales", value: 1.5 }]), success);
  await does("getServiceMetrics", client.getServiceMetrics("shop", "sales", (now - 3600) * 1000, (now + 60) * 1000), (r) => assert.deepStrictEqual(r.metrics.map((m) => m.value), [1.5]));
  await does("setGraphDefinitions", client.setGraphDefinitions([{ name: "custom.a", displayName: "A", unit: "float", metrics: [{ name: "custom.a.b", displayName: "b", isStacked: false }] }]), success);
  await does("postCheckReports", client.postCheckReports({ reports: [{ source: { type: "host", hostId: host.id }, name: "x", status: "OK", message: "", occurredAt: now }] }), success);
  await does("modifyMetadata", client.modifyMetadata(host.id, "ns", { a: 1 }), success);
  await does("getMetadata", client.getMetadata(host.id, "ns"), (r) => assert.deepStrictEqual(r, { a: 1 }));
  await does("deleteMetadata", client.deleteMetadata(host.id, "ns"), success);
  const monitor = await does("createMonitor", client.createMonitor({ type: "service", name: "sales", service: "shop", metric: "sales", operator: ">", warning: 1, critical: 2, duration: 1 }), (r) => assert.strictEqual(r.type, "service"));
  await does("getMonitors", client.getMonitors(), (r) => assert.ok(r.monitors.some((m) => m.id === monitor.id)));
  await does("getAlert", client.getAlert(), (r) => assert.ok(Array.isArray(r.alerts)));
  const board = await does("createDashboard", client.createDashboard({ title: "one", urlPath: "one", memo: "", widgets: [] }), (r) => assert.strictEqual(r.title, "one"));
  await does("modifyDashboard", client.modifyDashboard(board.id, { title: "two", urlPath: "one", memo: "", widgets: [] }), (r) => assert.strictEqual(r.title, "two"));
  await does("getDashboards", client.getDashboards(), (r) => assert.deepStrictEqual(r.dashboards.map((d) => d.title), ["two"]));
  await does("createGraphAnnotation", client.createGraphAnnotation({ service: "shop", from: now - 60, to: now, title: "sale", description: "" }), (r) => assert.strictEqual(r.title, "sale"));
  await does("createInvitation", client.createInvitation({ email: "a@example.com", authority: "viewer" }), (r) => assert.strictEqual(r.authority, "viewer"));
  await does("retireHost", client.retireHost(host.id), success);
})().catch((e) => {
  console.error(e.message);
  process.exit(1);
});
