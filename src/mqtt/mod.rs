//! The connection, the topics, commands in and replies out.
