//! The document and the routes are one, and what it promises holds, by schemathesis' judgement.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use super::bench::{House, KEY, Plan};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/web/requirements.txt");

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
    let schemathesis = match tokio::task::spawn_blocking(installed).await.unwrap() {
        Ok(schemathesis) => schemathesis,
        Err(why) if is_demanded() => panic!("schemathesis cannot be had: {why}"),
        Err(why) => {
            // Not by `eprintln!`, whose words are swallowed when a test passes.
            writeln!(io::stderr(), "SKIPPED: schemathesis was not run: {why}").unwrap();
            return;
        }
    };
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
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output().unwrap()).await.unwrap();
    let said = [stdout, stderr].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    assert!(status.success(), "{said}");
}

/// Not `ignored_auth`: its wrong keys would be throttled, and the rest of what it sends with them.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,negative_data_rejection,unsupported_method";

/// The program in an environment of its own, made anew where the requirements have changed.
fn installed() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis");
    let program = folder.join("bin/schemathesis");
    let (wanted, stamp) = (fs::read_to_string(REQUIREMENTS).unwrap(), folder.join("installed.txt"));
    if fs::read_to_string(&stamp).is_ok_and(|it| it == wanted) && program.exists() {
        return Ok(program);
    }
    let _ = fs::remove_dir_all(&folder);
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(folder.join("bin/python")).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--requirement",
        REQUIREMENTS,
    ]))?;
    fs::write(stamp, wanted).map_err(|err| err.to_string())?;
    Ok(program)
}

fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().map_err(|err| format!("{command:?}: {err}"))?;
    let complaints = [stderr, stdout].map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}: {complaints}")) }
}

#[allow(clippy::disallowed_methods, reason = "this is no setting of Latchkey")]
pub(crate) fn is_demanded() -> bool {
    std::env::var("CI").is_ok_and(|it| it == "true")
}
