//! Health checks and metrics.

use serde_json::json;

use crate::harness::{Server, config_map};

#[tokio::test]
async fn checks_are_told_one_by_one_and_left_out() {
    let server = Server::start().await;
    let all = "[+]ping ok\n[+]etcd ok\n[+]poststarthook/rbac/bootstrap-roles ok\nlivez check passed\n";
    let ready = "[+]ping ok\n[+]etcd excluded: ok\n[+]informer-sync ok\n[+]poststarthook/rbac/bootstrap-roles ok\n\
        [+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\nreadyz check passed\n";
    let table = [
        ("/healthz", 200, "ok"),
        ("/livez", 200, "ok"),
        ("/readyz", 200, "ok"),
        ("/livez?verbose", 200, all),
        ("/readyz?verbose&exclude=etcd&exclude=x", 200, ready),
        ("/livez/ping", 200, "ok"),
        ("/readyz/etcd", 200, "ok"),
        ("/readyz/informer-sync", 200, "ok"),
        ("/healthz/poststarthook/rbac/bootstrap-roles", 200, "ok"),
        ("/livez/informer-sync", 404, "404 page not found\n"),
        ("/healthz/unknown", 404, "404 page not found\n"),
    ];
    for (path, code, text) in table {
        let answer = server.get(path).await;
        assert_eq!((answer.code, answer.body.as_str()), (code, Some(text)), "{path}");
    }
}

#[tokio::test]
async fn a_server_whose_roles_are_not_there_is_not_ready() {
    let server = Server::start().await;
    let mut config = apiserver::Config::new(
        server.api.config().store.clone(),
        server.api.config().clock.clone(),
        server.api.config().random.clone(),
    );
    config.enforce_rbac();
    // Nothing runs in its background.
    let idle = apiserver::ApiServer::new(config);
    let ask = async |path: &str| {
        let request = http::Request::get(path).body(apiserver::body::empty()).unwrap();
        let response = idle.handle(apiserver::UserInfo::admin(), request).await;
        let code = response.status().as_u16();
        let text = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        (code, String::from_utf8(text.to_vec()).unwrap())
    };
    let expected = "[+]ping ok\n[+]etcd ok\n[-]informer-sync failed: reason withheld\n\
        [-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n";
    assert_eq!(ask("/readyz").await, (500, expected.to_owned()));
    let why = "internal server error: caches not loaded yet\n";
    assert_eq!(ask("/readyz/informer-sync").await, (500, why.to_owned()));
}

#[tokio::test]
async fn metrics_count_what_was_asked() {
    let server = Server::start().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    server.post(maps, &config_map("c", json!({}))).await.expect(201);
    server.get(&format!("{maps}/c")).await.expect(200);
    server.get(&format!("{maps}/d")).await.expect(404);
    let _watch = server.watch("/api/v1/configmaps?watch=1").await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.body.as_str().unwrap();
    let labels = |verb: &str, scope: &str| {
        format!("group=\"\",resource=\"configmaps\",scope=\"{scope}\",subresource=\"\",verb=\"{verb}\",version=\"v1\"")
    };
    let head = "component=\"apiserver\",dry_run=\"\"";
    for line in [
        format!("apiserver_request_total{{code=\"201\",{head},{}}} 1", labels("POST", "resource")),
        format!("apiserver_request_total{{code=\"200\",{head},{}}} 1", labels("GET", "resource")),
        format!("apiserver_request_total{{code=\"404\",{head},{}}} 1", labels("GET", "resource")),
        format!("apiserver_request_duration_seconds_count{{{head},{}}} 2", labels("GET", "resource")),
        format!("apiserver_longrunning_requests{{component=\"apiserver\",{}}} 1", labels("WATCH", "cluster")),
        "apiserver_storage_objects{resource=\"configmaps\"} 1".to_owned(),
        "apiserver_resource_objects{group=\"\",resource=\"configmaps\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"] {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        assert!(value.is_some_and(|value| value >= 0.0), "{name}");
    }
    let step = "apiserver_admission_step_admission_duration_seconds_count{operation=\"CREATE\",rejected=\"false\",type=\"admit\"}";
    let plugin =
        "apiserver_admission_controller_admission_duration_seconds_count{name=\"LimitRanger\",operation=\"CREATE\"";
    for name in [step, plugin] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
    }
    // Each family is told once, with its type before it.
    let mut types: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), count);
}
