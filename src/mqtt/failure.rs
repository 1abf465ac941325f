//! Why a connection ended, in words that lead to the mend. No text here holds a secret or a payload.

use std::io;

use rumqttc::v5::{
    ConnectionError, StateError, TlsError as RumqttcTlsError,
    mqttbytes::{
        Error as PacketError,
        v5::{ConnectReturnCode, DisconnectReasonCode},
    },
};

use super::backoff::Pace;

/// Why there is no connection (any more).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFailure {
    #[error("the MQTT broker cannot be reached ({0}); check its host and port and that it runs")]
    Unreachable(String),
    #[error(
        "TLS with the MQTT broker failed ({0}); check that the host is a name in its certificate, that the CA file is \
         the one that signed it, and that the broker knows our client certificate if it wants one"
    )]
    Tls(String),
    #[error(
        "the MQTT broker refuses the login ({0}); check user name and password, and that the broker lets this user in"
    )]
    LoginRefused(String),
    #[error("the MQTT broker refuses the client id ({0}); choose another instance name, or allow this one there")]
    ClientIdRefused(String),
    #[error("the MQTT broker does not speak MQTT 5; Mosquitto does since 1.6")]
    NoMqtt5,
    #[error("the MQTT broker refuses the connection ({0})")]
    Refused(String),
    #[error(
        "another client took over our session at the MQTT broker; two programs use the same client id, so stop one or \
         give each Latchkey an instance name of its own"
    )]
    TakenOver,
    #[error("the MQTT broker ended the connection ({0})")]
    Closed(String),
    #[error("the MQTT broker closed the connection without a word")]
    HungUp,
    /// What a takeover looks like with Mosquitto before 2.0.15, which does not say why (its issue #2607).
    #[error(
        "the MQTT broker closes each connection without a word soon after it stands; mostly that is a second program \
         with the same client id, so stop one or give each Latchkey an instance name of its own"
    )]
    HungUpAgain,
    #[error("the MQTT broker has gone silent")]
    Silent,
    #[error("the MQTT broker does not answer our subscriptions")]
    SubscribeUnanswered,
    #[error(
        "the MQTT broker sent a packet of {size} bytes although we said that {limit} is the most we take; stored \
         messages are left out from now on, so clear the big one from the broker"
    )]
    TooLarge { size: usize, limit: u32 },
    #[error("the MQTT broker sent what we do not understand ({0})")]
    Protocol(String),
}

impl LinkFailure {
    pub(super) fn pace(&self) -> Pace {
        match self {
            Self::LoginRefused(_) | Self::ClientIdRefused(_) | Self::NoMqtt5 | Self::TakenOver => Pace::Slow,
            Self::Unreachable(_)
            | Self::Tls(_)
            | Self::Refused(_)
            | Self::Closed(_)
            | Self::HungUp
            | Self::HungUpAgain
            | Self::Silent
            | Self::SubscribeUnanswered
            | Self::TooLarge { .. }
            | Self::Protocol(_) => Pace::Soon,
        }
    }
}

impl From<ConnectionError> for LinkFailure {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::Timeout(_) => Self::Unreachable("no answer in time".to_owned()),
            ConnectionError::Tls(error) => tls_failure(error),
            ConnectionError::Io(error) => Self::Unreachable(error.to_string()),
            ConnectionError::ConnectionRefused(code) => refusal(code),
            ConnectionError::NotConnAck(_) => Self::Protocol("something else before CONNACK".to_owned()),
            ConnectionError::MqttState(error) => state_failure(error),
            ConnectionError::RequestsDone => Self::Closed("by ourselves".to_owned()),
        }
    }
}

fn tls_failure(error: RumqttcTlsError) -> LinkFailure {
    match error {
        // What rustls says of a handshake comes wrapped, as does a broker that hangs up because it speaks no TLS.
        RumqttcTlsError::Io(error) => LinkFailure::Tls(error.to_string()),
        other => LinkFailure::Tls(other.to_string()),
    }
}

fn refusal(code: ConnectReturnCode) -> LinkFailure {
    use ConnectReturnCode as Code;
    let text = format!("{code:?}");
    match code {
        Code::BadUserNamePassword | Code::NotAuthorized | Code::Banned | Code::BadAuthenticationMethod => {
            LinkFailure::LoginRefused(text)
        }
        Code::BadClientId | Code::ClientIdentifierNotValid => LinkFailure::ClientIdRefused(text),
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => LinkFailure::NoMqtt5,
        _ => LinkFailure::Refused(text),
    }
}

fn state_failure(error: StateError) -> LinkFailure {
    match error {
        StateError::ServerDisconnect { reason_code: DisconnectReasonCode::SessionTakenOver, .. } => {
            LinkFailure::TakenOver
        }
        StateError::ServerDisconnect { reason_code, .. } => LinkFailure::Closed(format!("{reason_code:?}")),
        StateError::AwaitPingResp => LinkFailure::Silent,
        StateError::ConnectionAborted => LinkFailure::HungUp,
        StateError::Io(error) => io_failure(&error),
        StateError::Deserialization(PacketError::Io(error)) => io_failure(&error),
        StateError::Deserialization(PacketError::PayloadSizeLimitExceeded { pkt_size, max }) => {
            LinkFailure::TooLarge { size: pkt_size, limit: max }
        }
        // A DISCONNECT without a reason has no payload, which rumqttc takes for a mistake.
        StateError::Deserialization(PacketError::PayloadRequired) => LinkFailure::Closed("no reason given".to_owned()),
        other => LinkFailure::Protocol(other.to_string()),
    }
}

/// With TLS 1.3 a broker that does not like our certificate says so only when the connection seems to stand.
fn io_failure(error: &io::Error) -> LinkFailure {
    let is_tls = error.get_ref().is_some_and(|it| it.is::<rustls::Error>());
    if is_tls { LinkFailure::Tls(error.to_string()) } else { LinkFailure::Closed(error.to_string()) }
}
