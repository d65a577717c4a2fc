//! Enclaves 2.0 as published (enclaves §3), for study: it protects nothing that matters.
