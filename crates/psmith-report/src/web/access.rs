//! Access check: every request passes it first. Pure: headers in, a refusal or nothing out. Never answers a request.
//!
//! The token travels in the address's fragment, which browsers never send; the page keeps it in the storage of its own
//! origin, port included, and sends it as a bearer token. There is no cookie: browsers would send a cookie to every
//! port of the host, to servers of other users too, and with requests that the page never made.

use std::io;
use std::net::{IpAddr, SocketAddr};

use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN};
use hyper::{Method, StatusCode};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const TOKEN_BYTES: usize = 16;

/// The reason why a request is refused, with its status.
pub(super) type HttpRefusal = (StatusCode, &'static str);

/// The rules that every request must meet.
#[derive(Debug)]
pub(super) struct AccessCheck {
    address: SocketAddr,
    token: String,
}

/// Returns a token: 128 random bits.
pub(super) fn token() -> io::Result<String> {
    let mut bytes = [0_u8; TOKEN_BYTES];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl AccessCheck {
    pub(super) fn new(address: SocketAddr, token: String) -> AccessCheck {
        AccessCheck { address, token }
    }

    /// Returns an error if this request must not be answered.
    pub(super) fn check(&self, method: &Method, path: &str, headers: &HeaderMap) -> Result<(), HttpRefusal> {
        // A name that an attacker points to this address (DNS rebinding) appears in `Host` and in `Origin`.
        let host = text(headers, &HOST).unwrap_or_default();
        if !self.is_own_host(host) {
            return Err((StatusCode::MISDIRECTED_REQUEST, "this server answers to its own address only\n"));
        }
        if headers.contains_key(ORIGIN) {
            let origin = text(headers, &ORIGIN).unwrap_or_default();
            if origin.strip_prefix("http://") != Some(host) {
                return Err((StatusCode::FORBIDDEN, "another origin\n"));
            }
        }
        let site = text(headers, &SEC_FETCH_SITE).unwrap_or("none");
        let follows_link = path == "/" && text(headers, &SEC_FETCH_MODE) == Some("navigate");
        if !matches!(site, "none" | "same-origin") && !follows_link {
            return Err((StatusCode::FORBIDDEN, "asked for by another site\n"));
        }
        if method != Method::GET && method != Method::HEAD {
            return Err((StatusCode::METHOD_NOT_ALLOWED, "read only\n"));
        }
        if needs_token(path) && !self.has_token(headers) {
            return Err((StatusCode::UNAUTHORIZED, "the token is missing or wrong\n"));
        }
        Ok(())
    }

    /// Returns whether the host is this server. Numeric addresses cannot be rebound. Of names only `localhost` is
    /// certain.
    fn is_own_host(&self, host: &str) -> bool {
        if host.strip_prefix("localhost:").is_some_and(|port| port == self.address.port().to_string()) {
            return self.address.ip().is_loopback() || self.address.ip().is_unspecified();
        }
        // Port 80 is left out of the header.
        let asked = host.parse::<SocketAddr>().ok().or_else(|| {
            let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok()?;
            Some(SocketAddr::new(ip, 80))
        });
        let any = self.address.ip().is_unspecified();
        asked.is_some_and(|asked| {
            asked.port() == self.address.port() && (any || asked.ip() == self.address.ip())
        })
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let given = text(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        given.is_some_and(|given| is_same(given.as_bytes(), self.token.as_bytes()))
    }
}

/// Returns whether the path needs the token. The page itself holds nothing of the run: it is served to everybody, and
/// requests the rest with its token.
fn needs_token(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics"
}

/// Compares in a time that depends on the lengths alone.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
