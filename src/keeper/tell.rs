//! What is said of a refresh that ended: a line for the log, an event for automations. Both come after the disk.

use tracing::{error, info, warn};

use crate::account::{Class, Code, Ending, EventType, FreshTokens, Secret, Settlement, Slot};

use super::{keeping::Keeping, notice::Trigger};

impl Keeping {
    /// `code`: what the failure is called, where it is one.
    pub(super) fn tell(&self, by: Trigger, settlement: Settlement, ending: &Ending, code: Code, was_troubled: bool) {
        self.heart.doings().tallies.count_settlement(settlement);
        let account = &self.id;
        let (error, class) = match ending {
            Ending::Failed { class, .. } => (Some(code), Some(*class)),
            Ending::Renewed(_) => (None, None),
        };
        match settlement {
            Settlement::Renewed { slot } => self.tell_renewed(by, slot, ending, was_troubled),
            Settlement::CandidateRefused if code == Code::ReplyLost => {
                warn!(%account, "the reply to a refresh of the proposed tokens was lost during rotation; the grant before them is tried");
                self.happened(EventType::UpdateRefused, by, error);
            }
            Settlement::CandidateRefused => {
                warn!(%account, "the vendor does not take the proposed tokens; the grant before them is kept");
                self.happened(EventType::UpdateRefused, by, error);
            }
            Settlement::FellBack => {
                warn!(%account, "the vendor refused this refresh token; trying the other one that is held");
            }
            Settlement::ReauthRequired => {
                let why = self.record().dead.map(|it| it.why);
                let what = match why {
                    Some(Code::RefreshTokenExpired) => "refresh token has expired",
                    Some(Code::ReplyLost) => "the reply was lost during rotation",
                    Some(Code::SignedInElsewhere) => {
                        "the vendor refuses the refresh token; it seems that somebody else refreshed or signed in"
                    }
                    _ => "the vendor refuses the refresh token",
                };
                error!(%account, "{what}: sign in again and give the new tokens");
                self.happened(EventType::ReauthRequired, by, why);
            }
            Settlement::InDoubt if class == Some(Class::Protocol) => {
                error!(%account, "the vendor renewed the tokens in an answer that cannot be read; it is kept, sealed");
                self.happened(EventType::UnreadableAnswer, by, error);
            }
            Settlement::InDoubt => {
                warn!(%account, "no usable answer came: the refresh token may be spent");
                self.happened(EventType::InDoubt, by, error);
            }
            Settlement::Failed if class == Some(Class::ConfigFault) => {
                error!(%account, "the vendor refuses the application's keys or signature: check app_key, key_id and region");
                self.happened(EventType::ConfigFault, by, error);
            }
            Settlement::Failed => self.happened(EventType::RefreshFailed, by, error),
            Settlement::Superseded => info!(%account, "an answer came for tokens that are no longer held"),
        }
    }

    fn tell_renewed(&self, by: Trigger, slot: Slot, ending: &Ending, was_troubled: bool) {
        let account = &self.id;
        let record = self.record();
        let tokens = record.current.as_ref();
        let masked = |it: Option<&Secret>| it.map_or("none".to_owned(), |it| it.masked().to_string());
        let token = masked(tokens.and_then(|it| it.access.as_ref()));
        let refresh_token = masked(tokens.and_then(|it| it.refresh.as_ref()));
        let generation = tokens.map_or(0, |it| it.generation);
        info!(%account, ?by, generation, token, refresh_token, "tokens refreshed");
        if let Ending::Renewed(FreshTokens { refresh: None, .. }) = ending {
            warn!(%account, "no refresh token came with the answer; the old one stays");
        }
        self.happened(EventType::Refreshed, by, None);
        if slot == Slot::Candidate {
            self.happened(EventType::TokensUpdated, by, None);
        }
        if was_troubled {
            self.happened(EventType::Recovered, by, None);
        }
    }
}
