//! Clients on a bad day.

use std::io;
use std::net::{SocketAddr, TcpStream as PlainStream};
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::Duration;

use conbrio::net::TcpStream;
use conbrio::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use crate::clients::{Chance, Figures, Room};
use crate::disk::Disk;
use crate::wire::{self, Kind};

/// Spawns all kinds of them.
pub(crate) fn spawn_all<'scope>(
    n: &'scope Nursery<'scope, '_, io::Error>,
    server: SocketAddr,
    disk: &'scope Disk,
    figures: &'scope Figures,
    room: &'scope Room,
) {
    for number in 0..RESETTING {
        n.spawn(move |cx| resetting(cx, server, number, figures));
    }
    for number in 0..SLOW {
        n.spawn(move |cx| slow(cx, server, number, figures));
    }
    n.spawn(move |cx| stopping(cx, server, figures));
    n.spawn(move |cx| flooding(cx, server, figures));
    if disk.is_small() {
        n.spawn(move |cx| filling(cx, disk, figures, room));
    }
}

/// Sends a part of a request, or all of it, and resets the connection.
fn resetting(cx: &mut Cx, server: SocketAddr, number: u64, figures: &Figures) -> io::Result<()> {
    let mut chance = Chance::new(10_000 + number);
    loop {
        cx.sleep(Duration::from_millis(chance.below(400)))?;
        // It is not a good client: what it sees is of no interest.
        let _ = cx.move_on_after(Duration::from_secs(5), |cx| -> io::Result<()> {
            let mut stream = TcpStream::connect(cx, server)?;
            let payload = vec![1; chance.below(100_000) as usize];
            let cut = chance.below(payload.len() as u64 + 1) as usize;
            stream.write_all(cx, &wire::header(Kind::Echo, payload.len()))?;
            stream.write_all(cx, &payload[cut..])?;
            stream.set_linger(Some(Duration::ZERO))?;
            Ok(())
        });
        cx.checkpoint()?;
        figures.resets.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks for a megabyte and reads it drop by drop, and not to the end.
fn slow(cx: &mut Cx, server: SocketAddr, number: u64, figures: &Figures) -> io::Result<()> {
    let mut chance = Chance::new(20_000 + number);
    loop {
        let limit = Duration::from_millis(2_000 + chance.below(8_000));
        let _ = cx.move_on_after(limit, |cx| -> io::Result<()> {
            let mut stream = TcpStream::connect(cx, server)?;
            let payload = vec![2; wire::BYTES_MAX];
            let (mut reader, mut writer) = stream.split();
            cx.nursery(|cx, n| -> io::Result<()> {
                n.spawn(move |cx| {
                    writer.write_all(cx, &wire::header(Kind::Echo, payload.len()))?;
                    writer.write_all(cx, &payload)?;
                    // A peer that ends its direction must not wake those who write to it.
                    writer.shutdown()
                });
                loop {
                    cx.sleep(Duration::from_millis(20))?;
                    if reader.read(cx, &mut [0; 2_048])? == 0 {
                        return Ok(());
                    }
                }
            })?;
            Ok(())
        });
        cx.checkpoint()?;
        figures.slow_readers.fetch_add(1, Ordering::Relaxed);
    }
}

/// Stops a process with open connections for some seconds, and kills it, or lets it go on.
fn stopping(cx: &mut Cx, server: SocketAddr, figures: &Figures) -> io::Result<()> {
    let mut round = 0;
    loop {
        let mut peer = Peer::start(server)?;
        cx.sleep(Duration::from_secs(1))?;
        peer.signal(Signal::STOP);
        cx.sleep(Duration::from_secs(4))?;
        figures.stopped_peers.fetch_add(1, Ordering::Relaxed);
        if round % 2 == 0 {
            peer.signal(Signal::CONT);
            cx.sleep(Duration::from_secs(1))?;
        }
        peer.end();
        round += 1;
    }
}

struct Peer(Child);

impl Peer {
    fn start(server: SocketAddr) -> io::Result<Peer> {
        let program = std::env::current_exe()?;
        Ok(Peer(Command::new(program).args(["stopped", &server.to_string()]).spawn()?))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.0.id() as i32) {
            let _ = kill_process(pid, signal);
        }
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

/// In a process that is stopped: asks for much on some connections, and reads it, when it can.
pub(crate) fn be_stopped(server: &str) -> io::Result<()> {
    use std::io::{Read as _, Write as _};

    let mut threads = Vec::new();
    for _ in 0..STOPPED_CONNECTIONS {
        let Ok(stream) = PlainStream::connect(server) else { continue };
        let mut reader = stream.try_clone()?;
        threads.push(std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
        }));
        threads.push(std::thread::spawn(move || {
            let mut request = wire::header(Kind::Echo, wire::BYTES_MAX).to_vec();
            request.resize(request.len() + wire::BYTES_MAX, 3);
            while (&stream).write_all(&request).is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }));
    }
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

/// Opens more connections than the server has fds, holds them for two seconds, and closes them.
fn flooding(cx: &mut Cx, server: SocketAddr, figures: &Figures) -> io::Result<()> {
    loop {
        cx.sleep(Duration::from_secs(10))?;
        let mut flood = Vec::new();
        for _ in 0..FLOOD {
            if let Ok(stream) = TcpStream::connect(cx, server) {
                flood.push(stream);
            }
            cx.checkpoint()?;
        }
        cx.sleep(Duration::from_secs(2))?;
        drop(flood);
        figures.floods.fetch_add(1, Ordering::Relaxed);
    }
}

/// Fills the disk for a second now and then.
fn filling(cx: &mut Cx, disk: &Disk, figures: &Figures, room: &Room) -> io::Result<()> {
    let disk = ClearAtTheEnd(disk);
    loop {
        cx.sleep(Duration::from_secs(5))?;
        room.change();
        disk.0.fill();
        cx.sleep(Duration::from_secs(1))?;
        disk.0.clear();
        room.change();
        figures.full_disks.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whatever happens, the disk has room in the end.
struct ClearAtTheEnd<'a>(&'a Disk);

impl Drop for ClearAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

const RESETTING: u64 = 100;
const SLOW: u64 = 50;
const STOPPED_CONNECTIONS: usize = 20;
/// With the others far more than the server has fds.
const FLOOD: usize = 500;
