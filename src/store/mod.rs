//! stub
use crate::account::{AccountId, Fingerprint};
use async_trait::async_trait;
use zeroize::Zeroizing;
pub mod codec;
#[async_trait]
pub trait Store: Send + Sync {
    fn load(&self) -> Vec<Entry>;
    async fn commit(&self, commit: Commit) -> Result<u64, StoreError>;
    async fn is_spent(&self, account: &AccountId, fingerprint: Fingerprint) -> Result<bool, StoreError>;
    fn note(&self, name: &str) -> Option<Vec<u8>>;
    async fn put_note(&self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError>;
    async fn check_room(&self) -> Result<(), StoreError>;
    async fn close(&self) -> Result<(), StoreError>;
}
pub struct Entry {
    pub account: AccountId,
    pub revision: u64,
    pub payload: Zeroizing<Vec<u8>>,
}
pub struct Commit {
    pub account: AccountId,
    pub expected: u64,
    pub payload: Zeroizing<Vec<u8>>,
    pub spent: Vec<Fingerprint>,
}
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("closed")]
    Closed,
    #[error("conflict")]
    Conflict { account: AccountId, expected: u64, found: u64 },
}
impl StoreError {
    pub fn mend(&self) -> &'static str {
        ""
    }
}
