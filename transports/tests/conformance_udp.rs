//! The conformance suite over UDP on loopback.

#![cfg(feature = "udp")]

mod assault;
mod unicast;

use sodality::crypto::chacha20_poly1305;
use sodality_transports::conformance::{Antigone, Enclaves};
use unicast::Udp;

sodality_transports::conformance_suite!(over_udp, Udp, Antigone::new(chacha20_poly1305()));
sodality_transports::conformance_suite!(enclaves_over_udp, Udp, Enclaves::new(chacha20_poly1305()));
