//! What is asked by HTTP, and what is answered.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    canaries::Canaries,
    commands::{PASTED, PROPOSED},
    support::latchkey::{Bench, Latchkey},
};

pub(crate) const KEY: &str = "Canary-web/key+0123456789";
const COOKIE: &str = "Canary-cookie-0123456789abcdef";

/// The admin API of a running Latchkey.
struct Admin {
    address: String,
}

impl Admin {
    fn of(latchkey: &Latchkey) -> Self {
        let log = latchkey.log();
        let address = log.rsplit_once("listens on http://").unwrap().1.lines().next().unwrap().to_owned();
        Self { address }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> String {
        self.ask_with(method, path, &format!("X-Latchkey-Key: {KEY}\r\n"), body).await
    }

    /// With these lines instead of the key.
    async fn ask_with(&self, method: &str, path: &str, lines: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{lines}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "{method} {path}");
        answer
    }
}

/// Every path of the admin API, well and badly asked. The two answers that are to hold a secret are looked at apart.
pub(crate) async fn ask(bench: &Bench, latchkey: &Latchkey, canaries: &mut Canaries) {
    let admin = Admin::of(latchkey);
    let shared = admin.ask("GET", "/v1/accounts/front_door/access-token", "").await;
    assert!(shared.contains(&bench.akuvox.account(0).access_token), "the search finds nothing even where it is");
    sign_in(&admin, canaries).await;

    let document = admin.ask("GET", "/openapi.json", "").await;
    let document: Value = serde_json::from_str(document.split_once("\r\n\r\n").unwrap().1).unwrap();
    let bodies = [
        String::new(),
        json!({ "refresh_token": bench.aqara.credentials(0).refresh_token }).to_string(),
        json!({ "token": PROPOSED[0], "refresh_token": PROPOSED[1] }).to_string(),
        json!({ "code": PROPOSED[2] }).to_string(),
        json!({ "password": PROPOSED[2], "keep": true }).to_string(),
        json!({ "token": PASTED, PROPOSED[0]: 1 }).to_string(),
        format!("{{\"refresh_token\": \"{PASTED}"),
    ];
    for (path, item) in document["paths"].as_object().unwrap() {
        if path.ends_with("/access-token") || path.ends_with("/events") {
            continue;
        }
        for method in item.as_object().unwrap().keys().map(|it| it.to_ascii_uppercase()) {
            for id in ["front_door", "home", PROPOSED[2]] {
                let path = path.replace("{id}", id).replace("{key}", PROPOSED[3]);
                for body in &bodies {
                    let answer = admin.ask(&method, &path, body).await;
                    canaries.add_live(bench);
                    canaries.look_into(&format!("the answer to {method} {path}"), answer.as_bytes());
                }
            }
        }
    }
}

/// A session: the cookie is given once, and shown nowhere else.
async fn sign_in(admin: &Admin, canaries: &mut Canaries) {
    let signed_in = admin.ask("POST", "/v1/session", "").await;
    let cookie = signed_in.split_once("set-cookie: ").unwrap().1.split_once(';').unwrap().0;
    canaries.add("a session", cookie.split_once('=').unwrap().1);
    canaries.add("a wrong session", COOKIE);
    let page = "Sec-Fetch-Site: same-origin\r\nX-Latchkey-Page: 1\r\n";
    let wrong = format!("{}={COOKIE}", cookie.split_once('=').unwrap().0);
    for (cookie, status) in [(cookie, "HTTP/1.1 200"), (wrong.as_str(), "HTTP/1.1 401")] {
        let answer = admin.ask_with("GET", "/v1/accounts", &format!("Cookie: {cookie}\r\n{page}"), "").await;
        assert!(answer.starts_with(status), "{answer}");
        canaries.look_into("the answer to a session", answer.as_bytes());
    }
    for wrong in [format!("X-Latchkey-Key: {}\r\n", PROPOSED[0]), format!("Authorization: Bearer {}\r\n", PROPOSED[1])]
    {
        let answer = admin.ask_with("GET", &format!("/v1/accounts?key={}", PROPOSED[2]), &wrong, "").await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        canaries.look_into("the answer to a wrong key", answer.as_bytes());
    }
}
