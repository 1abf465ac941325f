//! Which host a call goes to, and what it says of itself there.

use std::{
    net::TcpListener,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use latchkey::{
    account::{Class, Secret},
    clock::Clock,
    vendor::{self, SignIn, Spend, Vendor},
};
use serde_json::json;

use super::{
    bench::{Bench, NoToll, http, settings},
    recorder::{Recorder, body, header, query},
};

const TOKEN: &str = "invented-token";

#[tokio::test]
async fn the_rest_host_is_asked_for_before_it_is_used_and_only_once() {
    let bench = Bench::new().await;
    let vendor = bench.vendor();
    for _ in 0..3 {
        vendor.inventory(&bench.token(), &NoToll).await.unwrap();
        vendor.check_access(&bench.token()).await.unwrap().unwrap();
    }
    let log = bench.cloud.log();
    assert_eq!((log[0].call.as_str(), log[0].part), ("rest_server", Some("gate")));
    assert!(log[1..].iter().all(|it| it.part == Some("rest")), "{log:?}");
    assert_eq!(log.len(), 7);
}

#[tokio::test]
async fn a_rest_host_that_is_configured_is_not_asked_for() {
    let bench = Bench::new().await;
    let vendor = bench.vendor_with(&format!("rest = {:?}\n", bench.cloud.rest_url()));
    vendor.inventory(&bench.token(), &NoToll).await.unwrap();
    assert_eq!((bench.calls("rest_server"), bench.calls("userconf")), (0, 1));
}

#[tokio::test]
async fn a_rest_host_that_is_gone_is_asked_for_again() {
    let rest = Recorder::start(|_| json!({ "result": 0 }).to_string()).await;
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let n_asked = AtomicUsize::new(0);
    let there = rest.address.clone();
    let gate = Recorder::start(move |_| {
        let named = if n_asked.fetch_add(1, SeqCst) == 0 { &gone } else { &there };
        json!({ "result": 0, "datas": { "rest_server": named } }).to_string()
    })
    .await;
    let vendor = vendor_at(&gate, "");
    let token = Secret::new(TOKEN);
    assert_eq!(vendor.check_access(&token).await.unwrap().unwrap_err().class, Class::Transient);
    assert_eq!(vendor.check_access(&token).await.unwrap(), Ok(()));
    assert_eq!(vendor.check_access(&token).await.unwrap(), Ok(()));
    assert_eq!((gate.requests().len(), rest.requests().len()), (2, 2));
}

#[tokio::test]
async fn a_gate_that_does_not_name_the_rest_host_leaves_nothing_in_doubt() {
    for body in ["", "<html>", r#"{"result":-1}"#, r#"{"result":0,"datas":{"rest_server":"198.51.100.1:8443"}}"#] {
        let gate = Recorder::start(move |_| body.to_owned()).await;
        let vendor = vendor_at(&gate, "dial_code = \"44\"\nphone = \"7700900000\"\n");
        let opened = vendor.open_door(&Secret::new(TOKEN), "0C1105000001/0").await;
        assert_eq!(opened.unwrap_err().class, Class::Transient, "{body}");
        assert_eq!(vendor.request_code().await.unwrap_err().class, Class::Transient, "{body}");
        assert!(gate.requests().iter().all(|it| it.starts_with("GET /rest_server ")), "no token went anywhere");
    }
}

#[tokio::test]
async fn the_rest_host_of_a_login_is_the_one_that_its_answer_names() {
    let bench = Bench::new().await;
    let vendor = bench.vendor();
    let password = Secret::new(bench.cloud.credentials(0).password);
    vendor.login(SignIn::Password(&password)).await.unwrap();
    vendor.inventory(&bench.token(), &NoToll).await.unwrap();
    assert_eq!((bench.calls("rest_server"), bench.calls("userconf")), (0, 1));
}

#[tokio::test]
async fn no_answer_moves_an_account_to_another_gate() {
    let other = Recorder::start(|_| json!({ "err_code": "0" }).to_string()).await;
    let named = other.address.clone();
    let gate = Recorder::start(move |_| {
        let servers = json!({
            "token": "invented-2", "refresh_token": "invented-3", "rest_server": named, "gate_server": named,
            "access_server": named, "web_server": named,
        });
        json!({ "err_code": "0", "result": 0, "datas": servers }).to_string()
    })
    .await;
    let vendor = vendor_at(&gate, "user = \"someone\"\ndial_code = \"44\"\nphone = \"7700900000\"\n");
    let token = Secret::new(TOKEN);
    vendor.login(SignIn::Password(&token)).await.unwrap();
    vendor.login(SignIn::Code(&token)).await.unwrap();
    vendor.check_in(&token, None).await.unwrap().unwrap();
    vendor.refresh(Spend { refresh: &token, access: Some(&token) }).await.unwrap();
    vendor.request_code().await.unwrap();
    assert_eq!(gate.requests().len(), 4);
    let elsewhere: Vec<String> = other.requests().iter().map(|it| it.lines().next().unwrap().to_owned()).collect();
    assert_eq!(elsewhere, ["POST /send_mobile_checkcode HTTP/1.1"]);
}

#[tokio::test]
async fn every_call_has_the_version_the_user_agent_and_the_tokens_that_were_seen_with_it() {
    let (gate, vendor) = recorded("").await;
    call_everything(&vendor).await;
    let app = "VBell/7.20.5 (iPhone; iOS 26.1; Scale/2.00)";
    for (path, version, user_agent, token) in [
        ("/rest_server", Some("6.0"), app, None),
        ("/sms_login", Some("6.6"), app, None),
        ("/login", Some("7.33"), "VBell/7.42.2 (iPhone; iOS 26.1; Scale/2.00)", Some("")),
        ("/servers_list", Some("6.6"), app, Some(TOKEN)),
        ("/userconf", Some("6.5"), app, Some(TOKEN)),
        ("/login_conf", Some("6.5"), app, Some(TOKEN)),
        ("/opendoor", Some("4.3"), app, Some(TOKEN)),
        ("/refresh_token", Some("6.8"), app, Some(TOKEN)),
        ("/send_mobile_checkcode", None, app, Some("")),
    ] {
        let request = gate.newest(path);
        assert_eq!(header(&request, "api-version"), version, "{path}");
        assert_eq!(header(&request, "user-agent"), Some(user_agent), "{path}");
        assert_eq!(header(&request, "x-auth-token"), token, "{path}");
    }
    assert_eq!(query(&gate.newest("/sms_login")), "phone=0033233333&code=0042&area_code=44");
    let login = gate.newest("/login");
    assert_eq!(query(&login), "user=Crh.Abc12@hadpsoh.frp&passwd=69a329523ce1ec88bf63061863d9cb14&id_code=(null)");
    assert_eq!(query(&gate.newest("/opendoor")), format!("token={TOKEN}"));
    assert_eq!(body(&gate.newest("/opendoor")), "mac=0C1105000001&relay=0");
    assert_eq!(body(&gate.newest("/send_mobile_checkcode")), "AreaCode=44&MobileNumber=7700900000&Type=0");
    let servers_list: serde_json::Value = serde_json::from_str(body(&gate.newest("/servers_list"))).unwrap();
    let voucher = "invented-auth-token";
    let wanted = json!({ "auth_token": voucher, "passwd": voucher, "token": TOKEN, "user": "0033233333" });
    assert_eq!(servers_list, wanted);

    vendor.check_in(&Secret::new(TOKEN), None).await.unwrap().unwrap();
    let request = gate.newest("/servers_list");
    assert_eq!(header(&request, "api-version"), Some("6.8"));
    let servers_list: serde_json::Value = serde_json::from_str(body(&request)).unwrap();
    assert_eq!(servers_list, json!({ "token": TOKEN, "user": "0033233333" }));
}

#[tokio::test]
async fn every_version_and_user_agent_can_be_set() {
    let paths =
        ["rest_server", "sms_login", "login", "servers_list", "userconf", "login_conf", "opendoor", "refresh_token"];
    let versions: String = paths.iter().enumerate().map(|(number, it)| format!("{it} = \"9.{number}\"\n")).collect();
    let lines =
        format!("user_agent = \"one\"\nlogin_user_agent = \"two\"\n[accounts.front_door.api_versions]\n{versions}");
    let (gate, vendor) = recorded(&lines).await;
    call_everything(&vendor).await;
    for (number, path) in paths.into_iter().enumerate() {
        let request = gate.newest(&format!("/{path}"));
        assert_eq!(header(&request, "api-version"), Some(format!("9.{number}").as_str()), "{path}");
        let user_agent = if path == "login" { "two" } else { "one" };
        assert_eq!(header(&request, "user-agent"), Some(user_agent), "{path}");
    }
}

/// A recorder that is gate and REST host in one, and a vendor of an account that can do everything.
async fn recorded(lines: &str) -> (Recorder, Arc<dyn Vendor>) {
    let own = Arc::new(OnceLock::new());
    let named = own.clone();
    let gate = Recorder::start(move |_| {
        let datas = json!({ "rest_server": named.get(), "dev_list": [] });
        json!({ "result": 0, "datas": datas }).to_string()
    })
    .await;
    own.set(gate.address.clone()).unwrap();
    let people = "dial_code = \"44\"\nphone = \"7700900000\"\nuser = \"Zoe.Xyz89@example.com\"\n";
    let vendor = vendor_at(&gate, &format!("{people}{lines}"));
    (gate, vendor)
}

fn vendor_at(gate: &Recorder, lines: &str) -> Arc<dyn Vendor> {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), &format!("http://{}", gate.address), lines);
    vendor::connect(&settings, &http(&Clock::system()))
}

async fn call_everything(vendor: &Arc<dyn Vendor>) {
    let (token, voucher) = (Secret::new(TOKEN), Secret::new("invented-auth-token"));
    vendor.refresh(Spend { refresh: &token, access: Some(&token) }).await.unwrap();
    vendor.check_access(&token).await.unwrap().unwrap();
    vendor.inventory(&token, &NoToll).await.unwrap();
    vendor.open_door(&token, "0C1105000001/0").await.unwrap();
    vendor.request_code().await.unwrap();
    vendor.login(SignIn::Code(&Secret::new("0042"))).await.unwrap();
    vendor.login(SignIn::Password(&Secret::new("hello"))).await.unwrap();
    vendor.check_in(&token, Some(&voucher)).await.unwrap().unwrap();
}
