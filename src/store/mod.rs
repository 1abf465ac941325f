//! The journal, sled beside it, sealing.
