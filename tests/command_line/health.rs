//! What a container's HEALTHCHECK asks.

use std::net::TcpListener;

use serde_json::json;
use tokio::time::timeout;

use crate::{
    run, run_json,
    support::{latchkey::Bench, scripted_broker::PATIENCE},
};

#[tokio::test]
async fn health_tells_a_service_that_lives_from_one_that_is_ready_and_from_none() {
    let mut bench = Bench::new().await;
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.environment.push(("LATCHKEY__WEB__LISTEN".to_owned(), address.to_string()));

    let (code, _, complaint) = run(&bench, &["health"], "").await;
    assert_eq!(code, 1);
    assert!(complaint.contains(&format!("nothing answers at {address}")), "{complaint}");

    let latchkey = bench.run().await;
    assert_eq!(run(&bench, &["health"], "").await, (0, "alive\n".to_owned(), String::new()));
    assert_eq!(run(&bench, &["health", "--ready"], "").await, (0, "ready\n".to_owned(), String::new()));
    let ready = json!({ "status": "ok", "data": { "ready": true, "store": "open", "broker": "connected" } });
    assert_eq!(run_json(&bench, &["health", "--ready"], "").await, (0, ready));

    bench.mosquitto.kill();
    let is_noticed = async { while run(&bench, &["health", "--ready"], "").await.0 == 0 {} };
    timeout(PATIENCE, is_noticed).await.expect("Latchkey does not notice that its broker is away");
    let (code, _, complaint) = run(&bench, &["health", "--ready"], "").await;
    assert_eq!(code, 1);
    assert!(complaint.contains("the store is open, the broker is disconnected"), "{complaint}");
    assert_eq!(run(&bench, &["health"], "").await.0, 0, "without its broker Latchkey lives on");
    assert!(latchkey.stop().await.success());
}

#[tokio::test]
async fn where_the_admin_api_is_off_health_says_so() {
    let mut bench = Bench::new().await;
    bench.environment.push(("LATCHKEY__WEB__ENABLED".to_owned(), "false".to_owned()));
    let (code, _, complaint) = run(&bench, &["health"], "").await;
    assert_eq!(code, 1);
    assert!(complaint.contains("the admin API is switched off"), "{complaint}");
}
