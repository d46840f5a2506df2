//! The files that say whom to ask: resolv.conf(5) and hosts(5).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use resolv_conf::{Config, ScopedIp};

use super::DnsResolver;
use crate::net::addrs::context;

/// A file that may be missing, which is the same as one without lines. Blocks.
pub(super) fn read(path: &str) -> io::Result<String> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(context(format!("read {path}"), error)),
    }
}

/// The resolver that a `resolv.conf` describes.
pub(super) fn resolver(text: &str) -> DnsResolver {
    let (config, _what_makes_no_sense) = Config::parse_with_errors(text.as_bytes());
    let mut servers: Vec<SocketAddr> = config.nameservers.iter().filter_map(server).collect();
    if servers.is_empty() {
        // resolv.conf(5): "the default is to use the name server on the local machine".
        servers.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    let mut resolver = DnsResolver::new(servers);
    resolver.search = config.get_last_search_or_domain().cloned().collect();
    resolver.ndots = config.ndots.min(NDOTS_MAX);
    resolver.timeout = Duration::from_secs(u64::from(config.timeout.clamp(1, TIMEOUT_S_MAX)));
    resolver.attempts = config.attempts.clamp(1, ATTEMPTS_MAX);
    resolver.only_tcp = config.use_vc;
    resolver.only_v4 = config.no_aaaa;
    resolver.rotates = config.rotate;
    resolver
}

/// `None` for a server in a zone whose interface has no number here.
fn server(ip: &ScopedIp) -> Option<SocketAddr> {
    match ip {
        ScopedIp::V6(ip, Some(zone)) => {
            let scope = zone.parse().ok().or_else(|| interface_number(zone))?;
            Some(SocketAddrV6::new(*ip, PORT, 0, scope).into())
        }
        _ => Some((IpAddr::from(ip), PORT).into()),
    }
}

fn interface_number(name: &str) -> Option<u32> {
    // The kernel's own files: reading one never waits.
    let path = std::path::Path::new("/sys/class/net").join(name.replace('/', "")).join("ifindex");
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

const PORT: u16 = 53;
/// The limits of resolv.conf(5).
const NDOTS_MAX: u32 = 15;
const TIMEOUT_S_MAX: u32 = 30;
const ATTEMPTS_MAX: u32 = 5;

/// What the hosts file says, line by line.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// Each address with its names, never none, the official one first.
    entries: Vec<(IpAddr, Vec<String>)>,
}

impl Hosts {
    pub(super) fn add(&mut self, text: &str) {
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(Ok(ip)) = words.next().map(str::parse) else { continue };
            let names: Vec<String> = words.map(str::to_owned).collect();
            if !names.is_empty() {
                self.entries.push((ip, names));
            }
        }
    }

    /// All addresses of a name, in the order of the lines.
    pub(super) fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        let host = host.strip_suffix('.').unwrap_or(host);
        let has_it = |names: &[String]| names.iter().any(|name| name.eq_ignore_ascii_case(host));
        let entries = self.entries.iter().filter(|(_, names)| has_it(names));
        let mut ips: Vec<IpAddr> = Vec::new();
        for (ip, _) in entries {
            if !ips.contains(ip) {
                ips.push(*ip);
            }
        }
        ips
    }

    /// The official name of an address.
    pub(super) fn name_of(&self, ip: IpAddr) -> Option<&str> {
        let (_, names) = self.entries.iter().find(|(entered, _)| *entered == ip)?;
        Some(&names[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolv_conf_is_understood() {
        let text = "# by hand\nnameserver 10.0.0.53\nnameserver fd00::53\nnonsense here\n\
                    search example.test sub.example.test\n\
                    options ndots:2 timeout:1 attempts:99 rotate use-vc\n";
        let resolver = resolver(text);
        let servers: Vec<String> = resolver.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.53:53", "[fd00::53]:53"]);
        assert_eq!(resolver.search, ["example.test", "sub.example.test"]);
        assert_eq!((resolver.ndots, resolver.attempts), (2, ATTEMPTS_MAX));
        assert_eq!(resolver.timeout, Duration::from_secs(1));
        assert!(resolver.rotates && resolver.only_tcp && !resolver.only_v4);
    }

    #[test]
    fn nothing_said_means_the_server_of_this_machine() {
        let resolver = resolver("");
        assert_eq!(resolver.servers, [(Ipv4Addr::LOCALHOST, PORT).into()]);
        assert_eq!((resolver.ndots, resolver.attempts), (1, 2));
        assert_eq!(resolver.timeout, Duration::from_secs(5));
    }

    #[test]
    fn a_link_local_server_keeps_its_zone() {
        let resolver = resolver("nameserver fe80::1%1\nnameserver fe80::2%no-such-interface\n");
        let servers: Vec<String> = resolver.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["[fe80::1%1]:53"]);
    }

    #[test]
    fn a_hosts_file_is_understood() {
        let mut hosts = Hosts::default();
        hosts.add("127.0.0.1 localhost\n# comment\n10.0.0.1\tDb.test db # the database\n");
        hosts.add("::1 localhost\n10.0.0.1 db\nnonsense db\n10.0.0.2\n");
        let ips = |name: &str| -> Vec<String> {
            hosts.addresses_of(name).iter().map(ToString::to_string).collect()
        };
        assert_eq!(ips("LOCALHOST"), ["127.0.0.1", "::1"]);
        assert_eq!(ips("db"), ["10.0.0.1"]);
        assert_eq!(ips("db.test."), ["10.0.0.1"]);
        assert!(ips("database").is_empty());
        assert_eq!(hosts.name_of([10, 0, 0, 1].into()), Some("Db.test"));
        assert_eq!(hosts.name_of([10, 0, 0, 2].into()), None);
    }
}
