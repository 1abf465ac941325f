//! What an alert says: the account, how it is, what to do, and where. No secret is in it.

use serde_json::{Value, json};

use crate::{account::Status, homeassistant::advice, keeper::Card};

use super::watch::News;

/// ntfy's: high, and as usual.
const PRIORITIES: [u8; 2] = [4, 3];

pub(super) struct Message<'a> {
    news: News,
    card: &'a Card,
    status: &'a Status,
    link: Option<&'a str>,
}

impl<'a> Message<'a> {
    pub(super) fn new(news: News, card: &'a Card, status: &'a Status, link: Option<&'a str>) -> Self {
        Self { news, card, status, link }
    }

    pub(super) fn title(&self) -> String {
        let name = self.name();
        match self.news {
            News::NeedsAttention => format!("{name} needs attention"),
            News::WellAgain => format!("{name} is well again"),
        }
    }

    /// `{"event", "account", "name", "condition", "title", "message", "link"}`; the link is null where there is none.
    pub(super) fn json(&self) -> Value {
        let event = match self.news {
            News::NeedsAttention => "needs_attention",
            News::WellAgain => "well_again",
        };
        json!({
            "event": event,
            "account": self.card.id,
            "name": self.name(),
            "condition": self.status.condition,
            "title": self.title(),
            "message": self.text(),
            "link": self.link,
        })
    }

    /// As ntfy publishes it: `{"topic", "title", "message", "priority", "tags", "click"}`.
    pub(super) fn ntfy(&self, topic: &str) -> Value {
        let (priority, tag) = match self.news {
            News::NeedsAttention => (PRIORITIES[0], "warning"),
            News::WellAgain => (PRIORITIES[1], "white_check_mark"),
        };
        let mut document = json!({
            "topic": topic,
            "title": self.title(),
            "message": self.text(),
            "priority": priority,
            "tags": [tag],
        });
        if let Some(link) = self.link {
            document["click"] = json!(link);
        }
        document
    }

    fn text(&self) -> String {
        let advice = advice(self.status, self.card.logs_in_by_code);
        advice.unwrap_or_else(|| match self.news {
            News::NeedsAttention => "Somebody is needed: see Latchkey's page or its log.".to_owned(),
            News::WellAgain => "Latchkey renews this login by itself again.".to_owned(),
        })
    }

    fn name(&self) -> &str {
        self.card.name.as_deref().unwrap_or(self.card.id.as_str())
    }
}
