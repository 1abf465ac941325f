//! The two places where HTTP is read: the admin API's port, and the answers of clouds.

use std::{
    cell::Cell,
    net::{Ipv4Addr, SocketAddr},
};

use latchkey::{
    account::Secret,
    clock::Clock,
    config,
    vendor::{Http, Spend, connect},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    runtime::Runtime,
};

use super::{
    bench::{House, KEY},
    inputs::{CANARY, inputs, seeds},
    n_inputs,
};

/// For one request: its head of 16 KiB and its body of 64 KiB, both sides' buffers, what JSON makes of it; and at times a
/// list of the whole house that doubles its room, such as of what waits for a broker.
const MOST_MEMORY: u64 = 32 * 1024 * 1024;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn runner(usual: u32) -> (TestRunner, u32) {
    let cases = n_inputs(usual);
    (TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() }), cases)
}

fn keyed(method: &str, path: &str, more: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Latchkey-Key: {KEY}\r\n{more}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Whole requests whose body alone is odd, and what is left of whole requests.
fn odd_requests() -> impl Strategy<Value = Vec<u8>> {
    let paths = [
        ("PUT", "/v1/accounts/front_door/tokens"),
        ("POST", "/v1/accounts/front_door/login"),
        ("POST", "/v1/accounts/home/scenes/nothing/trigger"),
        ("POST", "/v1/admin/aqara/refresh-token?entry_id=home"),
    ];
    let bodies = seeds("command").into_iter().map(|it| it.1).collect::<Vec<_>>();
    let with_body = (prop::sample::select(paths.to_vec()), inputs(&bodies));
    prop_oneof![
        inputs(&requests()),
        with_body.prop_map(|((method, path), body)| keyed(method, path, "Connection: close\r\n", body)),
    ]
}

/// Requests as clients write them.
fn requests() -> Vec<Vec<u8>> {
    let chunked = format!(
        "POST /v1/accounts/home/refresh HTTP/1.1\r\nHost: localhost\r\nX-Latchkey-Key: {KEY}\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    );
    let page = "GET / HTTP/1.1\r\nHost: localhost:8780\r\nCookie: latchkey_8780=abcdef; a=b\r\nOrigin: http://localhost\r\n\
                Sec-Fetch-Site: same-origin\r\nX-Latchkey-Page: 1\r\n\r\n";
    vec![
        keyed("GET", "/v1/accounts", "", ""),
        keyed("PUT", "/v1/accounts/front_door/tokens", "", "{\"token\":\"a-token\",\"refresh_token\":\"another\"}"),
        keyed("POST", "/v1/accounts/home/scenes/tv_warning/trigger", "Expect: 100-continue\r\n", "{\"transaction\":1}"),
        keyed("POST", "/v1/accounts/front_door/login", "", "{\"code\":\"012345\"}"),
        keyed("POST", "/v1/admin/aqara/refresh-token?entry_id=home", "", "{\"refresh_token\":\"a-token\"}"),
        keyed("GET", "/metrics", "Authorization: Bearer x\r\nX-Metron-Key: y\r\n", ""),
        keyed("GET", "/nothing/%2e%2e/%00", "", ""),
        chunked.into_bytes(),
        page.as_bytes().to_vec(),
    ]
}

/// Sends bytes from an address of its own, and says that there are no more; gives what comes back until the other side is
/// done. From one address wrong keys would soon be all that is looked at.
async fn answers(address: SocketAddr, number: u32, request: &[u8]) -> Vec<u8> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from_bits(0x7f01_0000 + number), 0).into()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let mut received = Vec::new();
    // It may have answered and closed before it has everything.
    if stream.write_all(request).await.is_ok() && stream.shutdown().await.is_ok() {
        let read = tokio::time::timeout(std::time::Duration::from_secs(60), stream.read_to_end(&mut received)).await;
        let _ = read.expect("the connection stays open");
    }
    received
}

#[test]
fn requests_to_the_admin_port() {
    let runtime = runtime();
    let house = runtime.block_on(House::signed_in());
    let (mut runner, cases) = runner(400);
    let (number, most, statuses) = (Cell::new(0), Cell::new(0), Cell::new([0_u32; 6]));
    let outcome = runner.run(&odd_requests(), |request| {
        number.set(number.get() + 1);
        let mut received = Vec::new();
        let memory = allocation_counter::measure(|| {
            received = runtime.block_on(answers(house.address, number.get(), &request));
        });
        most.set(most.get().max(memory.bytes_max));
        prop_assert!(memory.bytes_max < MOST_MEMORY, "{} bytes are taken", memory.bytes_max);
        let text = String::from_utf8_lossy(&received);
        // Nothing at all is an answer to what was no request.
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|it| it.get(..3)).and_then(|it| it.parse::<usize>().ok());
        prop_assert!(received.is_empty() || status.is_some_and(|it| (100..505).contains(&it) && it != 500), "{text}");
        let mut counts = statuses.get();
        counts[status.unwrap_or(0) / 100] += 1;
        statuses.set(counts);
        // A transaction is echoed, as it is to be.
        let body = text.split_once("\r\n\r\n").map(|it| it.1).unwrap_or_default();
        let is_echo = serde_json::from_str::<serde_json::Value>(body)
            .is_ok_and(|it| it["transaction"].to_string().contains(CANARY));
        if text.contains(CANARY) && !is_echo {
            return Err(TestCaseError::fail(format!("it is quoted: {text}")));
        }
        Ok(())
    });
    outcome.unwrap();
    let answer = runtime.block_on(house.get("/healthz"));
    assert_eq!(answer.status, 200, "it has not outlived that");
    println!("http: {cases} inputs; by hundreds of statuses {:?}; at most {} bytes", statuses.get(), most.get());
}

/// Answers as clouds write them.
fn cloud_answers() -> Vec<Vec<u8>> {
    let body = "{\"datas\":{\"refresh_token\":\"R2\",\"token\":\"A2\",\"token_valid\":\"604800\"},\"err_code\":\"0\"}";
    let length = body.len();
    let answer = |status: &str, more: &str| {
        let date = "Date: Tue, 24 Nov 2026 10:00:00 GMT";
        format!("HTTP/1.1 {status}\r\n{date}\r\n{more}Content-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n");
    vec![
        answer("200 OK", ""),
        answer("200 OK", "Content-Encoding: gzip\r\nContent-Type: text/html\r\n"),
        answer("429 Too Many Requests", "Retry-After: 120\r\n"),
        answer("400 Bad Request", "Retry-After: Tue, 24 Nov 2026 10:05:00 GMT\r\n"),
        answer("307 Temporary Redirect", "Location: http://127.0.0.1:1/elsewhere\r\n"),
        answer("503 Service Unavailable", "Connection: keep-alive\r\n"),
        answer("100 Continue", ""),
        chunked.into_bytes(),
    ]
}

#[test]
fn answers_of_clouds() {
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("latchkey.toml");
    let gate = listener.local_addr().unwrap();
    std::fs::write(&file, format!("[accounts.front_door]\nvendor = \"akuvox\"\ngate = \"http://{gate}\"\n")).unwrap();
    let settings = config::load(Some(&file), std::iter::empty()).unwrap();
    let http = Http::new(std::time::Duration::from_secs(5), Clock::system()).unwrap();
    let vendor = connect(settings.accounts.values().next().unwrap(), &http);
    let (access, refresh) = (Secret::new("an-access-token"), Secret::new("a-refresh-token"));
    let (mut runner, cases) = runner(400);
    let (most, accepted) = (Cell::new(0), Cell::new(0));
    let outcome = runner.run(&inputs(&cloud_answers()), |answer| {
        let mut told = String::new();
        let memory = allocation_counter::measure(|| {
            let serve = async {
                let mut stream = listener.accept().await.unwrap().0;
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&answer).await;
            };
            let spend = Spend { refresh: &refresh, access: Some(&access) };
            let (sent, ()) = runtime.block_on(async { tokio::join!(vendor.refresh(spend), serve) });
            match sent.and_then(|it| vendor.read_refresh(&it)) {
                Ok(_) => accepted.set(accepted.get() + 1),
                Err(error) => told = error.to_string(),
            }
        });
        most.set(most.get().max(memory.bytes_max));
        prop_assert!(memory.bytes_max < MOST_MEMORY, "{} bytes are taken", memory.bytes_max);
        prop_assert!(!told.contains(CANARY) && !told.chars().any(char::is_control), "{told}");
        Ok(())
    });
    outcome.unwrap();
    assert_eq!(accepted.get() == 0, cases < 50, "no answer was as it should be");
    println!("cloud: {cases} inputs, {} accepted; at most {} bytes", accepted.get(), most.get());
}
