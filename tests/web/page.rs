//! The page's files, and the session that its browser gets for the key.

use serde_json::json;

use super::bench::{Answer, House, KEY, Plan};

const FILES: [&str; 6] = ["/", "/page.css", "/page.js", "/account.js", "/api.js", "/words.js"];

/// What our page's browser sends along.
const OURS: &str = "X-Latchkey-Page: 1\r\nSec-Fetch-Site: same-origin\r\n";

async fn sign_in(house: &House, headers: &str) -> Answer {
    house.send_with("POST", "/v1/session", &format!("X-Latchkey-Key: {KEY}\r\n{OURS}{headers}"), "").await
}

/// The line that a browser sends back.
fn cookie_line(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap();
    format!("Cookie: {cookie}\r\n")
}

#[tokio::test]
async fn the_pages_files_answer_without_the_key_and_under_a_strict_policy() {
    let house = House::new().await;
    let mut n_bytes = 0;
    for path in FILES {
        let answer = house.send_with("GET", path, "", "").await;
        assert_eq!(answer.status, 200, "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'; "), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        n_bytes += answer.text.len();
    }
    assert!(n_bytes < 60 * 1024, "{n_bytes} bytes");
    assert_eq!(house.send_with("POST", "/", "", "").await.status, 405);
}

#[tokio::test]
async fn the_page_asks_nothing_of_other_hosts_and_holds_below_any_path() {
    let house = House::new().await;
    for path in FILES {
        let text = house.send_with("GET", path, "", "").await.text;
        for foreign in
            ["http:", "https:", "src=\"/", "href=\"/", "from \"/", "\"/v1", "innerHTML", "style=", "onclick="]
        {
            assert!(!text.contains(foreign), "{path} has {foreign}");
        }
    }
}

#[tokio::test]
async fn the_key_once_shown_opens_a_session_until_it_is_signed_out() {
    let house = House::new().await;
    let answer = sign_in(&house, "").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let given = answer.header("set-cookie").unwrap();
    let port = house.address.port();
    assert!(
        given.starts_with(&format!("latchkey_{port}=")) && given.ends_with("; HttpOnly; SameSite=Strict"),
        "{given}"
    );
    assert!(!answer.text.contains(given.split(['=', ';']).nth(1).unwrap()), "the page's scripts get to see it");
    let cookie = cookie_line(&answer);
    let session = format!("{cookie}{OURS}");
    assert_eq!(house.send_with("GET", "/v1/accounts", &session, "").await.status, 200);
    assert_eq!(house.send_with("GET", "/v1/accounts", "Cookie: latchkey_1=x\r\n", "").await.status, 401);

    let answer = house.send_with("DELETE", "/v1/session", &session, "").await;
    assert_eq!((answer.status, &answer.json()["data"]), (200, &json!({ "had_session": true })));
    assert!(answer.header("set-cookie").unwrap().contains("=; Max-Age=0;"));
    assert_eq!(house.send_with("GET", "/v1/accounts", &session, "").await.status, 401, "it ended");
}

#[tokio::test]
async fn a_wrong_key_opens_no_session_and_a_session_opens_no_other() {
    let house = House::new().await;
    for key in ["", "X-Latchkey-Key: the-key-of-the-test\r\n"] {
        let answer = house.send_with("POST", "/v1/session", &format!("{key}{OURS}"), "").await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None));
    }
    let session = format!("{}{OURS}", cookie_line(&sign_in(&house, "").await));
    let answer = house.send_with("POST", "/v1/session", &session, "").await;
    assert_eq!((answer.status, answer.header("set-cookie")), (401, None));
}

#[tokio::test]
async fn the_cookie_is_for_https_alone_where_the_page_came_by_it() {
    let web = "public_url = \"https://keys.example.org/latchkey/\"";
    let house = House::of(Plan { web, ..Plan::default() }).await;
    let by_https = sign_in(&house, "Origin: https://keys.example.org\r\n").await;
    assert!(by_https.header("set-cookie").unwrap().ends_with("; Secure"));
    let at_home = sign_in(&house, &format!("Origin: http://{}\r\n", house.address)).await;
    assert!(!at_home.header("set-cookie").unwrap().contains("Secure"));
}

#[tokio::test]
async fn a_session_acts_for_our_own_page_alone() {
    let house = House::signed_in().await;
    let cookie = cookie_line(&sign_in(&house, "").await);
    let scene = "/v1/accounts/home/scenes/tv_warning/trigger";
    let here = format!("Origin: http://{}\r\n", house.address);
    for others in [
        "",
        "X-Latchkey-Page: 1\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
        here.as_str(),
        "X-Latchkey-Page: 1\r\nSec-Fetch-Site: same-site\r\n",
        "X-Latchkey-Page: 1\r\nSec-Fetch-Site: cross-site\r\n",
        "X-Latchkey-Page: 1\r\nOrigin: http://127.0.0.1:3000\r\n",
        "X-Latchkey-Page: 1\r\nOrigin: null\r\n",
    ] {
        let answer = house.send_with("POST", scene, &format!("{cookie}{others}"), "").await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (403, Some("wrong_origin")), "{others}");
    }
    let reading = house.send_with("GET", "/v1/accounts", &format!("{cookie}Sec-Fetch-Site: same-site\r\n"), "").await;
    assert_eq!(reading.status, 403);
    assert!(house.aqara.counters().scene_runs.is_empty(), "another page ran a scene");
    for ours in [OURS.to_owned(), format!("X-Latchkey-Page: 1\r\n{here}")] {
        let answer = house.send_with("POST", scene, &format!("{cookie}{ours}"), "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test]
async fn a_session_never_gets_an_access_token() {
    let house = House::of(Plan { home: "share_access_token = true", ..Plan::default() }).await;
    house.sign_in().await;
    let path = "/v1/accounts/home/access-token";
    let session = format!("{}{OURS}", cookie_line(&sign_in(&house, "").await));
    assert_eq!(house.send_with("GET", path, &session, "").await.status, 401);
    assert_eq!(house.get(path).await.status, 200);
}

#[tokio::test]
async fn accounts_say_how_to_sign_in_and_what_is_to_be_done() {
    let house = House::of(Plan { front_door: "user = \"me@example.com\"", ..Plan::default() }).await;
    let accounts = house.get("/v1/accounts").await.json()["data"]["accounts"].clone();
    assert_eq!(accounts[0]["logs_in_by"], json!(["password"]));
    assert_eq!(accounts[1]["logs_in_by"], json!([]));
    assert_eq!(accounts[1]["advice"], "No refresh token configured. Give one with update_tokens.");
    house.sign_in().await;
    let accounts = house.get("/v1/accounts").await.json()["data"]["accounts"].clone();
    assert_eq!(accounts[1]["advice"], json!(null));
}
