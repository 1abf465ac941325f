//! One command over Home Assistant's WebSocket API, which has what its REST API lacks: the registries.

use reqwest::Upgraded;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// RFC 6455, as far as it is met here: texts, unmasked when received and masked with zeros when sent.
pub(crate) struct Socket(Upgraded);

impl Socket {
    pub(crate) async fn connect(client: &reqwest::Client, url: &str, token: &str) -> Self {
        let request = client.get(format!("{url}/api/websocket")).header("connection", "Upgrade");
        let request = request.header("upgrade", "websocket").header("sec-websocket-version", "13");
        let response = request.header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==").send().await.unwrap();
        let mut socket = Self(response.upgrade().await.unwrap());
        assert_eq!(socket.receive().await["type"], "auth_required");
        socket.send(&json!({ "type": "auth", "access_token": token })).await;
        assert_eq!(socket.receive().await["type"], "auth_ok");
        socket
    }

    /// The result of a command, which is to be the first on this connection.
    pub(crate) async fn ask(mut self, mut command: Value) -> Value {
        command["id"] = json!(1);
        self.send(&command).await;
        loop {
            let mut answer = self.receive().await;
            if answer["type"] == "result" {
                assert_eq!(answer["success"], true, "{command}: {answer}");
                return answer["result"].take();
            }
        }
    }

    async fn send(&mut self, message: &Value) {
        let text = message.to_string();
        let length = u16::try_from(text.len()).unwrap();
        self.0.write_all(&[0x81, 0x80 | 126]).await.unwrap();
        self.0.write_all(&length.to_be_bytes()).await.unwrap();
        self.0.write_all(&[0; 4]).await.unwrap();
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn receive(&mut self) -> Value {
        let mut text = Vec::new();
        loop {
            let head = self.0.read_u8().await.unwrap();
            let length = match self.0.read_u8().await.unwrap() {
                126 => u64::from(self.0.read_u16().await.unwrap()),
                127 => self.0.read_u64().await.unwrap(),
                length => u64::from(length),
            };
            let mut part = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut part).await.unwrap();
            let (is_last, is_text) = (head & 0x80 != 0, head & 0x0f < 2);
            if is_text {
                text.extend(part);
                if is_last {
                    return serde_json::from_slice(&text).unwrap();
                }
            }
        }
    }
}
