//! Behind Home Assistant's ingress, as its supervisor asks: from its own address, with the path below which it shows us.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

use super::bench::{Answer, House, KEY, Plan, exchange};

const SUPERVISOR: &str = "127.0.0.2";
/// What the ingress sets, and what a browser that shows Home Assistant sends along.
const PATH: &str = "X-Ingress-Path: /api/hassio_ingress/a-token\r\n";
const BROWSER: &str = "X-Latchkey-Page: 1\r\nOrigin: http://homeassistant.local:8123\r\n";
const SCENE: &str = "/v1/accounts/home/scenes/tv_warning/trigger";

async fn house() -> House {
    let web = "ingress_from = \"127.0.0.2\"";
    let house = House::of(Plan { web, home: "share_access_token = true", ..Plan::default() }).await;
    house.sign_in().await;
    house
}

/// A request for the host that the browser asked, from an address of this machine.
async fn ask_from(house: &House, address: &str, method: &str, path: &str, headers: &str) -> Answer {
    send_from(house, address, &format!("{method} {path}"), &format!("Host: homeassistant.local:8123\r\n{headers}"))
        .await
}

async fn send_from(house: &House, address: &str, what: &str, headers: &str) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
    let stream = socket.connect(house.address).await.unwrap();
    let request = format!("{what} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n");
    exchange(stream, &request).await
}

#[tokio::test]
async fn whom_home_assistant_lets_in_needs_no_key() {
    let house = house().await;
    let ask =
        async |method: &str, path: &str| ask_from(&house, SUPERVISOR, method, path, &format!("{PATH}{BROWSER}")).await;
    let answer = ask("GET", "/v1/session").await;
    assert_eq!((answer.status, &answer.json()["data"]["by"]), (200, &"ingress".into()), "{}", answer.text);
    assert_eq!(ask("GET", "/v1/accounts").await.status, 200);
    let answer = ask("POST", SCENE).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    // Home Assistant shows it within a page of its own.
    let policy = ask("GET", "/").await.header("content-security-policy").unwrap().to_owned();
    assert!(policy.ends_with("; frame-ancestors 'self'"), "{policy}");
    let policy = house.get("/").await.header("content-security-policy").unwrap().to_owned();
    assert!(policy.ends_with("; frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn the_ingress_counts_from_the_supervisors_address_alone_and_only_where_it_is_set_up() {
    let house = house().await;
    let without = House::signed_in().await;
    for (house, address, headers) in [
        (&house, "127.0.0.1", PATH),
        (&house, "127.0.0.3", PATH),
        (&house, SUPERVISOR, ""),
        (&house, "127.0.0.3", "X-Ingress-Path: /\r\nX-Forwarded-For: 127.0.0.2\r\nForwarded: for=127.0.0.2\r\n"),
        (&without, SUPERVISOR, PATH),
        (&without, "127.0.0.1", PATH),
    ] {
        // Under the name of somebody else, and under one of ours.
        let answer = ask_from(house, address, "GET", "/v1/accounts", headers).await;
        assert_eq!(answer.status, 421, "{address} {headers}");
        let answer = send_from(house, address, "GET /v1/accounts", &format!("Host: localhost\r\n{headers}")).await;
        assert_eq!(answer.status, 401, "{address} {headers}");
    }
}

#[tokio::test]
async fn by_the_ingress_too_only_our_own_page_acts_and_no_access_token_is_given() {
    let house = house().await;
    for others in [
        "",
        "X-Latchkey-Page: 1\r\n",
        "Origin: http://homeassistant.local:8123\r\n",
        "X-Latchkey-Page: 1\r\nOrigin: http://evil.example\r\n",
        "X-Latchkey-Page: 1\r\nSec-Fetch-Site: cross-site\r\n",
    ] {
        let answer = ask_from(&house, SUPERVISOR, "POST", SCENE, &format!("{PATH}{others}")).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (403, Some("wrong_origin")), "{others}");
    }
    assert!(house.aqara.counters().scene_runs.is_empty(), "another page ran a scene");
    let ours = format!("{PATH}{BROWSER}");
    let answer = ask_from(&house, SUPERVISOR, "GET", "/v1/accounts/home/access-token", &ours).await;
    assert_eq!(answer.status, 401, "a page never gets a token");
    // A key that is shown is looked at, whoever shows it.
    let wrong = format!("{ours}X-Latchkey-Key: not-the-key-at-all\r\n");
    assert_eq!(ask_from(&house, SUPERVISOR, "GET", "/v1/accounts", &wrong).await.status, 401);
    let right = format!("{ours}X-Latchkey-Key: {KEY}\r\n");
    assert_eq!(ask_from(&house, SUPERVISOR, "GET", "/v1/session", &right).await.json()["data"]["by"], "key");
}
