//! The two routes for Aqara by curl, to the letter as their users have it in their notes and scripts.

use std::process::Command;

use latchkey::{clock::Clock, config, service::Service};
use serde_json::{Value, json};

use super::{
    bench::{House, KEY},
    tools,
};

const UPDATE: &str = r#"curl -X POST http://localhost:8080/v1/admin/aqara/refresh-token \
  -H "X-Metron-Key: your-api-key" \
  -H "Content-Type: application/json" \
  -d '{
    "refresh_token": "YOUR_REFRESH_TOKEN_HERE"
  }'"#;

const STATUS: &str = r#"curl -X GET http://localhost:8080/v1/admin/aqara/token-status \
  -H "X-Metron-Key: your-api-key""#;

#[tokio::test(flavor = "multi_thread")]
async fn curl_gives_the_refresh_token_and_asks_for_the_status_as_its_users_wrote_it() {
    let has_curl = Command::new("curl").arg("--version").output().map(|_| ()).map_err(|it| it.to_string());
    let Some(()) = tools::or_skip("curl was not tried", has_curl) else { return };
    let house = House::new().await;
    let token = house.aqara.credentials(0).refresh_token;
    house.service.stop().await;
    let file = house.folder.path().join("latchkey.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace(KEY, "your-api-key");
    let start = |listen: &str| {
        std::fs::write(&file, text.replace("127.0.0.1:0", listen)).unwrap();
        Service::start(config::load(Some(&file), std::iter::empty()).unwrap(), Clock::system())
    };
    // Where something else has the port, the commands differ in it alone.
    let service = start("127.0.0.1:8080").or_else(|_| start("127.0.0.1:0")).unwrap();
    let port = service.web.unwrap().port();
    let curl = async |command: &str| curl(command.replace(":8080", &format!(":{port}"))).await;

    let message = "No refresh token configured. Use POST /v1/admin/aqara/refresh-token to add one.";
    assert_eq!(curl(STATUS).await, json!({ "configured": false, "message": message }));
    let updated = curl(&UPDATE.replace("YOUR_REFRESH_TOKEN_HERE", &token)).await;
    assert_eq!(updated["message"], "Refresh token updated successfully", "{updated}");
    let status = curl(STATUS).await;
    assert_eq!((&status["configured"], &status["access_token_status"]), (&json!(true), &json!("valid")), "{status}");
    assert_eq!(status["refresh_token_updated_at"], updated["updated_at"]);
    assert!(status["access_token_expires_in_seconds"].is_u64(), "{status}");

    // Whoever forgot to fill it in, or has another key.
    assert_eq!(curl(UPDATE).await["code"], "REFRESH_REFUSED");
    let unauthorized = json!({ "error": "Unauthorized", "code": "UNAUTHORIZED" });
    assert_eq!(curl(&STATUS.replace("your-api-key", "their-api-key")).await, unauthorized);
    service.stop().await;
}

/// What a shell's command gets as its answer.
async fn curl(command: String) -> Value {
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).env("NO_PROXY", "localhost").env("no_proxy", "localhost");
    let output = tokio::task::spawn_blocking(move || shell.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}
