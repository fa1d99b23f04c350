//! Which addresses may be connected to. Checked for literals in URLs and again for every answer of
//! a name look-up, on the very addresses that are then connected to: no rebinding in between.
//!
//! Public addresses by https. Private ones (this machine, local networks, cloud metadata, …) and
//! plain http only where the allow list says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a URL: what receivers take at most. The HTTP client itself ends at 64 KiB, at each delivery.
const MAX_URL_BYTES: usize = 8 * 1024;

/// Entries of `allow_private`: networks and names.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    networks: Vec<(IpAddr, u8)>,
    names: Vec<String>,
}

/// What is wrong with an entry or a URL. Does not repeat a URL: it may be a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedError {
    /// Neither a network nor a name.
    #[error("{0:?} is neither an address, a network (10.0.0.0/8, fd00::/8) nor a host name")]
    Entry(String),
    /// Not a URL.
    #[error("must be a URL: https://host/path")]
    Url,
    /// Longer than any receiver's.
    #[error("has {0} bytes, at most {MAX_URL_BYTES} are taken: copy it from the receiver again")]
    Long(usize),
    /// URL parsers drop some of them, and then it is another URL.
    #[error("holds a line break or another control character: copy it from the receiver again")]
    Control,
    /// Another protocol.
    #[error("must begin with https:// (or http:// for a host of alerts.http.allow_private)")]
    Scheme,
    /// Credentials before the host would be shown by anything that logs a URL.
    #[error("must not hold a user or password: give them as a header")]
    Credentials,
    /// A private address that nobody allowed.
    #[error(
        "leads to the private address {0}: add it to alerts.http.allow_private if that is meant"
    )]
    Private(IpAddr),
    /// Clear text to somewhere public.
    #[error("is plain http to a host that alerts.http.allow_private does not list: use https")]
    Clear,
}

impl Allowed {
    /// Reads the entries.
    ///
    /// # Errors
    /// The first one that is neither.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, AllowedError> {
        let mut allowed = Self::default();
        for entry in entries {
            let bad = || AllowedError::Entry(entry.to_owned());
            let (address, bits) = match entry.split_once('/') {
                Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| bad())?)),
                None => (entry, None),
            };
            match (address.parse::<IpAddr>(), bits) {
                (Ok(address), bits) => {
                    let most = if address.is_ipv4() { 32 } else { 128 };
                    let bits = bits.unwrap_or(most);
                    if bits > most {
                        return Err(bad());
                    }
                    allowed.networks.push((address, bits));
                }
                (Err(_), None) if is_name(entry) => allowed.names.push(entry.to_lowercase()),
                (Err(_), _) => return Err(bad()),
            }
        }
        Ok(allowed)
    }

    /// Whether this address may be connected to for this host; `clear` for plain http.
    pub fn permits(&self, host: &str, address: IpAddr, clear: bool) -> bool {
        let listed = self.lists_name(host)
            || self.networks.iter().any(|(network, bits)| within(address, *network, *bits));
        listed || !(clear || is_private(address))
    }

    /// What can be said about a URL before its name is looked up.
    ///
    /// # Errors
    /// See [`AllowedError`].
    pub fn check_url(&self, url: &str) -> Result<(), AllowedError> {
        if url.len() > MAX_URL_BYTES {
            return Err(AllowedError::Long(url.len()));
        }
        if url.chars().any(char::is_control) {
            return Err(AllowedError::Control);
        }
        let url = reqwest::Url::parse(url).map_err(|_| AllowedError::Url)?;
        let clear = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(AllowedError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AllowedError::Credentials);
        }
        let host = url.host_str().ok_or(AllowedError::Url)?;
        let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() else { return Ok(()) };
        if self.permits(host, address, clear) {
            return Ok(());
        }
        Err(if is_private(address) { AllowedError::Private(address) } else { AllowedError::Clear })
    }

    fn lists_name(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        self.names.contains(&host)
    }
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !text.is_empty() && text.len() <= 253 && text.chars().all(plain)
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (canonical(address), canonical(network)) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            a.to_bits() & mask == n.to_bits() & mask
        }
        _ => false,
    }
}

/// An IPv4 address in IPv6's clothes is that IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let s = v6.segments();
    let embedded = |high: u16, low: u16| {
        IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match s {
        // Mapped, translated (NAT64) and 6to4.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            embedded(high, low)
        }
        [0x2002, high, low, ..] => embedded(high, low),
        _ => address,
    }
}

/// Whether an address is anything but a public host: IANA's special-purpose registries.
pub fn is_private(address: IpAddr) -> bool {
    match canonical(address) {
        IpAddr::V4(v4) => is_private_v4(v4),
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || v4.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b))
}

fn is_private_v6(v6: Ipv6Addr) -> bool {
    let s = v6.segments();
    let global_unicast = s[0] & 0xe000 == 0x2000;
    !global_unicast || (s[0] == 0x2001 && (s[1] < 0x200 || s[1] == 0xdb8)) || s[0] == 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known_in_every_disguise() {
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "203.0.113.9",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "::127.0.0.1",
        ] {
            assert!(is_private(text.parse().unwrap()), "{text}");
        }
        for text in ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "100.128.0.1", "172.32.0.1"] {
            assert!(!is_private(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn urls_and_the_allow_list() {
        let none = Allowed::default();
        let some = Allowed::parse(["10.0.0.0/8", "Alertmanager.local", "::1"]).unwrap();
        for (url, by_none, by_some) in [
            ("https://events.example.org/x", true, true),
            ("HTTPS://events.example.org/x", true, true),
            ("https://10.1.1.1/x", false, true),
            ("http://10.1.1.1:9093/x", false, true),
            ("https://[::1]:9/x", false, true),
            ("https://[::ffff:10.0.0.1]/x", false, true),
            // What other programs read as 127.0.0.1, the parser reads so, too.
            ("https://2130706433/", false, false),
            ("https://0x7f.1/", false, false),
            ("http://93.184.216.34/", false, false),
            ("ftp://example.org/", false, false),
            ("https://user:word@example.org/", false, false),
            ("not a url", false, false),
        ] {
            assert_eq!(none.check_url(url).is_ok(), by_none, "{url}");
            assert_eq!(some.check_url(url).is_ok(), by_some, "{url}");
        }
        let long = |bytes: usize| format!("https://x.org/{}", "x".repeat(bytes - 14));
        assert_eq!(none.check_url(&long(MAX_URL_BYTES)), Ok(()));
        assert_eq!(none.check_url(&long(1 << 20)), Err(AllowedError::Long(1 << 20)));
        for url in ["https://x.org/\nHost: y", "https://x.org/\t", "https://x.org/\u{1b}[2J"] {
            assert_eq!(none.check_url(url), Err(AllowedError::Control), "{url:?}");
        }
        // Sent as escapes.
        assert_eq!(none.check_url("https://x.org/<script>\"'\u{202e}"), Ok(()));
        let private = "10.9.9.9".parse().unwrap();
        let public = "1.1.1.1".parse().unwrap();
        assert!(
            some.permits("anything", private, true) && !none.permits("anything", private, false)
        );
        assert!(some.permits("alertmanager.local.", "192.168.1.1".parse().unwrap(), true));
        assert!(none.permits("x", public, false) && !none.permits("x", public, true));
        for bad in ["10.0.0.0/33", "10.0.0/8", "a b", "", "host/8", "https://x"] {
            assert!(Allowed::parse([bad]).is_err(), "{bad}");
        }
    }
}
