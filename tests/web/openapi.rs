//! The document and the routes are one, and what it promises holds, by schemathesis' judgement.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use super::{
    bench::{House, KEY, Plan},
    tools,
};

#[tokio::test]
async fn every_route_is_in_the_document_and_the_other_way_round() {
    let house = House::new().await;
    let document = house.get("/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let documented: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(documented, BTreeSet::from_iter(latchkey::web::paths()));
    for (path, item) in document["paths"].as_object().unwrap() {
        let mut methods: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|it| it.to_ascii_uppercase()).collect();
        if methods.contains("GET") {
            methods.insert("HEAD".to_owned());
        }
        let answer = house.send("TRACE", &path.replace("{id}", "home").replace("{key}", "x"), "").await;
        let allowed = answer.header("allow").unwrap().split(',').map(str::to_owned).collect();
        assert_eq!(methods, allowed, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_5xx_and_no_undocumented_answer() {
    let installed = tokio::task::spawn_blocking(|| tools::python("schemathesis")).await.unwrap();
    let Some(schemathesis) = tools::or_skip("schemathesis was not run", installed) else { return };
    // With an account that there is, with another, and with whatever it thinks of.
    for parameters in [
        "\"path.id\" = \"home\"\n\"path.key\" = \"tv_warning\"\n\"query.entry_id\" = \"home\"",
        "\"path.id\" = \"front_door\"",
        "",
    ] {
        let house = House::of(Plan { home: "share_access_token = true", ..Plan::default() }).await;
        house.sign_in().await;
        judge(&house, &schemathesis, parameters).await;
        assert_eq!(house.get("/v1/accounts").await.status, 200, "it was throttled, so nothing was tried");
    }
}

/// Panics with what it says where it finds something.
async fn judge(house: &House, schemathesis: &Path, parameters: &str) {
    let configuration = house.folder.path().join("schemathesis.toml");
    fs::write(&configuration, format!("[parameters]\n{parameters}\n")).unwrap();
    let mut command = Command::new(schemathesis);
    command
        .arg("--config-file")
        .arg(configuration)
        .arg("run")
        .arg(format!("http://{}/openapi.json", house.address))
        .args(["--header", &format!("X-Latchkey-Key: {KEY}")])
        .args(["--checks", CHECKS])
        // It does not end.
        .args(["--exclude-path", "/v1/events"])
        // It is 503 without a broker.
        .args(["--exclude-path", "/readyz"])
        .args(["--max-examples", "25", "--seed", "1", "--generation-database", "none", "--no-color"])
        .current_dir(house.folder.path())
        .env("NO_PROXY", "127.0.0.1");
    let judged = tokio::task::spawn_blocking(move || tools::run(&mut command)).await.unwrap();
    judged.unwrap_or_else(|said| panic!("{said}"));
}

/// Not `ignored_auth`: its wrong keys would be throttled, and the rest of what it sends with them.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method";
