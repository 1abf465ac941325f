//! Whom the admin API refuses, and what it does not bear.

use std::{net::Ipv4Addr, time::Duration};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use super::bench::{Answer, House, KEY, Plan, exchange};

/// Every route by its method, with something in place of its parameters.
async fn routes(house: &House) -> Vec<(String, String)> {
    let document = house.get("/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item): (&String, &serde_json::Value)| {
        let path = path.replace("{id}", "home").replace("{key}", "tv_warning");
        item.as_object().unwrap().keys().map(move |it| (it.to_ascii_uppercase(), path.clone())).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of).collect()
}

#[tokio::test]
async fn every_route_but_health_is_refused_without_the_key() {
    let house = House::signed_in().await;
    let refreshes = || (house.akuvox.counters().refreshes, house.aqara.counters().refreshes);
    let before = refreshes();
    let routes = routes(&house).await;
    assert!(15 < routes.len());
    for (method, path) in routes.iter().chain([&("GET".to_owned(), "/nothing".to_owned())]) {
        let wrong =
            ["", "X-Latchkey-Key: \r\n", "X-Latchkey-Key: the-key-of-the-test\r\n", "Authorization: Basic eA==\r\n"];
        let is_open = matches!(path.as_str(), "/healthz" | "/readyz");
        // The last one bears no key at all, so it does not count as a guess.
        for headers in if is_open || path.contains("admin") { &wrong[..1] } else { &wrong[3..] } {
            let answer = house.send_with(method, path, headers, "{}").await;
            assert_eq!(answer.status == 401, !is_open, "{method} {path}: {}", answer.status);
        }
    }
    for headers in ["X-Latchkey-Key: \r\n", "X-Latchkey-Key: the-key-of-the-test\r\n", "X-Metron-Key: \u{e9}\r\n"] {
        assert_eq!(house.send_with("GET", "/v1/accounts", headers, "").await.status, 401, "{headers}");
    }
    assert_eq!(refreshes(), before, "somebody got through");
    assert!(house.aqara.counters().scene_runs.is_empty());
}

/// Sends a request from an address of its own: wrong keys from one address are soon not looked at any more.
async fn from(number: u32, house: &House, request: &str) -> Answer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from_bits(0x7f02_0000 + number), 0).into()).unwrap();
    exchange(socket.connect(house.address).await.unwrap(), request).await
}

#[tokio::test]
async fn no_route_lets_in_whoever_shows_something_else_than_the_key() {
    let house = House::signed_in().await;
    let page = "Sec-Fetch-Site: same-origin\r\nX-Latchkey-Page: 1\r\n";
    let shown = [
        String::new(),
        "X-Latchkey-Key: \r\n".to_owned(),
        format!("X-Latchkey-Key: {}\r\n", &KEY[1..]),
        format!("X-Latchkey-Key: {KEY}x\r\n"),
        format!("X-Latchkey-Key: wrong\r\nX-Latchkey-Key: {KEY}\r\n"),
        format!("X-Metron-Key: {}\r\n", KEY.to_uppercase()),
        format!("Authorization: {KEY}\r\n"),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Cookie: latchkey_{}=wrong\r\n{page}", house.address.port()),
        format!("Cookie: latchkey_{}=\r\n{page}", house.address.port()),
        format!("X-Ingress-Path: /api/hassio_ingress/x\r\n{page}"),
    ];
    let mut asked: Vec<(String, String)> = routes(&house).await;
    let paths: Vec<String> = asked.iter().map(|it| it.1.clone()).collect();
    assert!(15 < asked.len());
    // Ways around: other methods, and other ways to write a path.
    for method in ["HEAD", "OPTIONS", "TRACE", "PATCH", "LATCH"] {
        asked.extend(paths.iter().map(|it| (method.to_owned(), it.clone())));
    }
    let spellings =
        ["/healthz/../v1/accounts", "/healthz/", "//healthz", "/HEALTHZ", "/v1//accounts", "/%76%31/accounts"];
    asked.extend(spellings.map(|it| ("GET".to_owned(), it.to_owned())));
    asked.retain(|it| !matches!(it.1.as_str(), "/healthz" | "/readyz"));
    // What can be acted on is listed in the background meanwhile, so not all calls are counted.
    let refreshes = || (house.akuvox.counters().refreshes, house.aqara.counters().refreshes);
    let before = refreshes();
    for (number, (method, path)) in asked.iter().enumerate() {
        for lines in &shown {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}Content-Length: 2\r\n\r\n{{}}"
            );
            let answer = from(number as u32, &house, &request).await;
            assert_eq!(answer.status, 401, "{method} {path} with {lines:?}: {}", answer.text);
        }
    }
    assert_eq!(refreshes(), before, "somebody got through");
    assert!(house.aqara.counters().scene_runs.is_empty());
}

#[tokio::test]
async fn the_key_is_taken_from_three_headers_and_from_nowhere_else() {
    let house = House::new().await;
    for header in ["X-Latchkey-Key: ", "x-metron-key: ", "Authorization: Bearer "] {
        let answer = house.send_with("GET", "/v1/accounts", &format!("{header}{KEY}\r\n"), "").await;
        assert_eq!(answer.status, 200, "{header}");
    }
    let cookie = format!("Cookie: key={KEY}\r\n");
    for (path, headers) in [(format!("/v1/accounts?key={KEY}"), ""), ("/v1/accounts".to_owned(), &cookie)] {
        assert_eq!(house.send_with("GET", &path, headers, "").await.status, 401);
    }
}

#[tokio::test]
async fn metrics_may_be_made_public() {
    let house = House::of(Plan { web: "metrics_public = true", ..Plan::default() }).await;
    assert_eq!(house.send_with("GET", "/metrics", "", "").await.status, 200);
    assert_eq!(house.send_with("GET", "/v1/accounts", "", "").await.status, 401);
}

async fn named(house: &House, host: &str) -> Answer {
    house.send_raw(&format!("GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n")).await
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused_even_for_health() {
    let web = "public_url = \"https://keys.example.org/\"\nallowed_hosts = [\"latchkey.local\"]";
    let house = House::of(Plan { web, ..Plan::default() }).await;
    let port = house.address.port();
    for ours in ["localhost", "127.0.0.1", "[::1]:1", "keys.example.org", "latchkey.local:80"] {
        assert_eq!(named(&house, &format!("Host: {ours}\r\n")).await.status, 200, "{ours}");
    }
    for others in ["evil.example", "evil.example:8780", "127.0.0.1.evil.example", "192.168.1.9", ""] {
        let answer = named(&house, &format!("Host: {others}\r\n")).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (421, Some("wrong_host")), "{others}");
    }
    assert_eq!(named(&house, &format!("Host: localhost\r\nHost: evil.example:{port}\r\n")).await.status, 421);
    assert_eq!(named(&house, "").await.status, 421);
    let absolute = "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(house.send_raw(absolute).await.status, 421);
}

#[tokio::test]
async fn a_hundred_wrong_keys_are_throttled_and_the_right_one_from_elsewhere_is_not_locked_out() {
    let house = House::new().await;
    let mut statuses = Vec::new();
    for number in 0..100 {
        let answer = house.send_with("GET", "/v1/accounts", &format!("X-Latchkey-Key: wrong-{number}\r\n"), "").await;
        if answer.status == 429 {
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=61).contains(&seconds));
        }
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..10], [401; 10]);
    assert!(statuses[10..].iter().all(|it| *it == 429), "{statuses:?}");
    assert_eq!(house.get("/v1/accounts").await.status, 429, "a guess may be the right one");

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let elsewhere = socket.connect(house.address).await.unwrap();
    let request =
        format!("GET /v1/accounts HTTP/1.1\r\nHost: localhost\r\nX-Latchkey-Key: {KEY}\r\nConnection: close\r\n\r\n");
    assert_eq!(exchange(elsewhere, &request).await.status, 200);
    assert_eq!(house.send_with("GET", "/healthz", "", "").await.status, 200);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let house = House::signed_in().await;
    let large = format!("{{\"token\":\"{}\"}}", "a".repeat(64 * 1024));
    let answer = house.send("PUT", "/v1/accounts/home/tokens", &large).await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (413, Some("too_large")));
    let answer = house.send("POST", "/v1/admin/aqara/refresh-token", &large).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("TOO_LARGE")));

    let chunks = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let chunked = format!(
        "PUT /v1/accounts/home/tokens HTTP/1.1\r\nHost: localhost\r\nX-Latchkey-Key: {KEY}\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n{chunks}"
    );
    assert_eq!(house.send_raw(&chunked).await.status, 413);

    let long = format!("X-Long: {}\r\n", "a".repeat(20 * 1024));
    assert_eq!(house.send_with("GET", "/healthz", &long, "").await.status, 431);
    let many: String = (0..100).map(|it| format!("X-{it}: 1\r\n")).collect();
    assert_eq!(house.send_with("GET", "/healthz", &many, "").await.status, 431);
    let path = format!("/{}", "a".repeat(20 * 1024));
    assert!([414, 431].contains(&house.send("GET", &path, "").await.status));
}

#[tokio::test]
async fn every_answer_is_sealed_and_none_opens_the_door_to_other_origins() {
    let house = House::new().await;
    let origin = format!("Origin: https://evil.example\r\nX-Latchkey-Key: {KEY}\r\n");
    for (method, path) in
        [("GET", "/healthz"), ("GET", "/v1/accounts"), ("GET", "/nothing"), ("OPTIONS", "/v1/accounts")]
    {
        let answer = house.send_with(method, path, &origin, "").await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert!(answer.headers.iter().all(|it| !it.0.starts_with("access-control-")), "{method} {path}");
    }
    let answer = house.send("DELETE", "/v1/accounts", "").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET,HEAD")));
    assert_eq!(answer.json()["error"]["code"], "method_not_allowed");
    assert_eq!(house.get("/nothing").await.json()["error"]["code"], "not_found");
}

/// The connection ends by itself; how long that takes is the server's own limit of ten seconds.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut bytes)).await.expect("still open");
    String::from_utf8(bytes).unwrap()
}

/// As [`until_closed`], while a byte is sent every half second: of `text`, and then blanks.
async fn dripped(stream: TcpStream, text: &str) -> String {
    let (read, mut write) = stream.into_split();
    let dripping = async {
        for byte in text.bytes().chain(std::iter::repeat(b' ')) {
            if write.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        std::future::pending().await
    };
    let mut bytes = Vec::new();
    let mut read = read;
    let closed = tokio::time::timeout(Duration::from_secs(60), read.read_to_end(&mut bytes));
    tokio::select! {
        closed = closed => drop(closed.expect("still open")),
        () = dripping => {}
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn whoever_takes_all_places_and_says_nothing_loses_them() {
    let house = House::new().await;
    let mut silent = Vec::new();
    while silent.len() < 128 {
        silent.push(TcpStream::connect(house.address).await.unwrap());
    }
    let ask = async || house.send_with("GET", "/healthz", "", "").await.status;
    assert_eq!(ask().await, 0, "there is no place left");
    let served = async {
        while ask().await != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), served).await.expect("nobody is served any more");
    drop(silent);
}

#[tokio::test]
async fn a_client_that_dawdles_is_given_up() {
    let house = House::signed_in().await;
    let begun = async |text: String| {
        let mut stream = TcpStream::connect(house.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    };
    let head = begun("GET /healthz HTTP/1.1\r\nHost: local".to_owned()).await;
    let silent = begun(String::new()).await;
    let body = begun(format!(
        "PUT /v1/accounts/home/tokens HTTP/1.1\r\nHost: localhost\r\nX-Latchkey-Key: {KEY}\r\nContent-Length: 100\r\n\r\n{{"
    ));
    let idle = begun("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()).await;
    // Whoever always says something, and never all of it, has no more time than others.
    let head_by_drops = begun(String::new()).await;
    let body_by_drops = begun(format!(
        "PUT /v1/accounts/home/tokens HTTP/1.1\r\nHost: localhost\r\nX-Latchkey-Key: {KEY}\r\nContent-Length: 1000\r\n\r\n"
    ))
    .await;
    let drops =
        async { tokio::join!(dripped(head_by_drops, "GET / HTTP/1.1\r\nX-Long: aaaa"), dripped(body_by_drops, "{")) };
    let (drops, (head, silent, body, idle)) = tokio::join!(drops, async {
        tokio::join!(
            until_closed(head),
            until_closed(silent),
            async { until_closed(body.await).await },
            until_closed(idle)
        )
    });
    assert!(!drops.0.contains("200 OK") && drops.1.starts_with("HTTP/1.1 408"), "{drops:?}");
    assert!(!head.contains("200 OK"), "{head}");
    assert!(!silent.contains("200 OK"));
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(idle.starts_with("HTTP/1.1 200 OK"), "{idle}");
    assert_eq!(house.get("/v1/accounts/home").await.json()["data"]["generation"], json!(2));
}
