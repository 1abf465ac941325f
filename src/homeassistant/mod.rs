//! Discovery payloads and state documents.
