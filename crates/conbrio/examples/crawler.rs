//! A crawler: follows all links of a site, some pages at a time, and asks again where a page fails.
//!
//! Run: `cargo run --example crawler`
//! Expect: the site, which the example serves itself and in which every fifth request fails, is found as a
//! whole, with never more than eight requests at once.
//!
//! smoke:
//! smoke-expect: found 127 pages

use conbrio::concurrent::Schedule;
use conbrio::io::Read;
use conbrio::net::serve;
use conbrio::prelude::*;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

const AT_ONCE: usize = 8;
const PAGES: u32 = 127;

/// One request for each connection: `GET 5\n`. The answer is the numbers of the pages that it links to.
fn site(cx: &mut Cx, listener: TcpListener) -> io::Result<()> {
    let requests = AtomicU32::new(0);
    Ok(serve(cx, [listener], |cx, mut incoming| -> io::Result<()> {
        let mut request = [0; 16];
        let count = incoming.stream.read(cx, &mut request)?;
        let request = std::str::from_utf8(&request[..count]).unwrap_or_default();
        let page = request.trim().strip_prefix("GET ").and_then(|page| page.parse::<u32>().ok());
        let (Some(page), false) = (page, requests.fetch_add(1, Relaxed) % 5 == 4) else {
            return Ok(()); // closed without an answer
        };
        let links = [2 * page + 1, 2 * page + 2].map(|link| link.to_string());
        let links = if page < PAGES / 2 { links.join(" ") } else { String::new() };
        Ok(incoming.stream.write_all(cx, format!("links {links}\n").as_bytes())?)
    })?)
}

fn fetch(cx: &mut Cx, site: SocketAddr, page: u32) -> io::Result<Vec<u32>> {
    let mut stream = TcpStream::connect(cx, site)?;
    stream.write_all(cx, format!("GET {page}\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(cx, &mut answer)?;
    let links = answer.strip_prefix("links").ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(links.split_whitespace().filter_map(|link| link.parse().ok()).collect())
}

fn crawl(cx: &mut Cx, site: SocketAddr) -> io::Result<BTreeSet<u32>> {
    let patience = Schedule::exponential(Duration::from_millis(1)).jitter(0.5).retries_max(8);
    let mut known = BTreeSet::from([0]);
    let mut fresh = vec![0];
    while !fresh.is_empty() {
        let links = cx.map_concurrent(AT_ONCE, fresh, |cx, page| {
            cx.retry(&patience, |cx| -> io::Result<_> {
                Ok(cx.fail_after(Duration::from_secs(5), |cx| fetch(cx, site, page))?)
            })
        })?;
        fresh = links.into_iter().flatten().filter(|page| known.insert(*page)).collect();
    }
    Ok(known)
}

fn main() -> io::Result<()> {
    conbrio::run(|cx| {
        let listener = TcpListener::bind(cx, "127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let found = cx.nursery(|cx, n| -> io::Result<_> {
            let site = n.spawn(move |cx| site(cx, listener));
            let found = crawl(cx, address)?;
            site.cancel();
            Ok(found)
        })?;
        println!("found {} pages", found.len());
        Ok(())
    })
}
