//! Replies as every edge sends them, in the habit of zigbee2mqtt: `status`, `data` or `error`, and the request's
//! `transaction`.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{CommandError, Reply, ReplyData};

#[derive(Serialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Body<'a> {
    Ok {
        data: &'a ReplyData,
        #[serde(skip_serializing_if = "Option::is_none")]
        transaction: Option<&'a RawValue>,
    },
    Error {
        error: &'a CommandError,
        #[serde(skip_serializing_if = "Option::is_none")]
        transaction: Option<&'a RawValue>,
    },
}

/// A reply as JSON, with the transaction letter for letter as it came.
pub fn reply_json(reply: &Reply, transaction: Option<&RawValue>) -> Vec<u8> {
    let body = match reply {
        Ok(data) => Body::Ok { data, transaction },
        Err(error) => Body::Error { error, transaction },
    };
    serde_json::to_vec(&body).expect("a reply of plain fields is JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::to_raw_value};

    use crate::account::Code;

    use super::*;

    #[test]
    fn replies_have_the_shape_that_bridges_share() {
        let read = |reply: &Reply, transaction: Option<Value>| {
            let transaction = transaction.map(|it| to_raw_value(&it).unwrap());
            serde_json::from_slice::<Value>(&reply_json(reply, transaction.as_deref())).unwrap()
        };
        let entry_id: crate::account::AccountId = "front".parse().unwrap();
        let ok = Ok(ReplyData::Refreshed { entry_id: entry_id.clone(), generation: 4 });
        assert_eq!(
            read(&ok, Some(json!("t1"))),
            json!({"status": "ok", "data": {"entry_id": "front", "generation": 4}, "transaction": "t1"})
        );
        let error = read(&Err(CommandError::too_soon(&entry_id, Code::TooSoon, 42)), None);
        assert_eq!(error["status"], "error");
        assert_eq!(error["error"]["code"], "too_soon");
        assert_eq!(error["error"]["retry_after"], 42);
        assert!(error.get("transaction").is_none());
    }
}
