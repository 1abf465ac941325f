//! The simulated clouds, in a process of their own.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::rig::WITH_DEMO;

/// Running clouds; stopped when dropped.
pub(crate) struct Clouds {
    child: Child,
    described: Value,
    /// A new one for each question would take the processor from what is measured.
    client: reqwest::Client,
}

impl Clouds {
    pub(crate) fn start(n_accounts: usize) -> Self {
        let mut command = Command::new(WITH_DEMO);
        command.args(["simulate", "--json", "--accounts", &n_accounts.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, described: serde_json::from_str(&line).unwrap(), client: reqwest::Client::new() }
    }

    /// The gate of the Akuvox cloud.
    pub(crate) fn gate(&self) -> &str {
        self.described["akuvox"]["url"].as_str().unwrap()
    }

    pub(crate) fn aqara(&self) -> &str {
        self.described["aqara"]["url"].as_str().unwrap()
    }

    /// The credentials of an account: those of the first one stand alone where there is no other.
    pub(crate) fn account(&self, vendor: &str, number: usize) -> &Value {
        let cloud = &self.described[vendor];
        cloud["accounts"].get(number).unwrap_or(cloud)
    }

    /// Takes the limit off how many calls a while the Aqara cloud takes.
    pub(crate) async fn lift_rate_limit(&self) {
        let url = format!("{}/_sim/knobs", self.aqara());
        let body = json!({ "rate_limit_calls": null }).to_string();
        self.client.post(url).body(body).send().await.unwrap().error_for_status().unwrap();
    }

    /// How many refreshes the Akuvox cloud granted.
    pub(crate) async fn refreshes(&self) -> u64 {
        let url = format!("{}/_sim/counters", self.gate());
        let text = self.client.get(url).send().await.unwrap().text().await.unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["refreshes"].as_u64().unwrap()
    }
}

impl Drop for Clouds {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
