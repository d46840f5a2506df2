//! Clients on a bad day.

use std::io;
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::Duration;

use conbrio::prelude::*;
use rustix::process::{Pid, Signal, kill_process};

use crate::clients::{Chance, Figures, Room};
use crate::connection::{Identity, Target};
use crate::disk::Disk;
use crate::wire::{self, Kind};

/// Spawns all kinds of them.
pub(crate) fn spawn_all<'scope>(
    n: &'scope Nursery<'scope, '_, io::Error>,
    server: &'scope Target,
    identity: Option<&'scope Identity>,
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
    n.spawn(move |cx| stopping(cx, server, identity, figures));
    n.spawn(move |cx| flooding(cx, server, figures));
    if disk.is_small() {
        n.spawn(move |cx| filling(cx, disk, figures, room));
    }
}

/// Sends a part of a request, or all of it, and resets the connection.
fn resetting(cx: &mut Cx, server: &Target, number: u64, figures: &Figures) -> io::Result<()> {
    let mut chance = Chance::new(10_000 + number);
    loop {
        cx.sleep(Duration::from_millis(chance.below(400)))?;
        // It is not a good client: what it sees is of no interest.
        let _ = cx.move_on_after(Duration::from_secs(5), |cx| -> io::Result<()> {
            let mut stream = server.begin(cx)?;
            stream.tcp().set_linger(Some(Duration::ZERO))?;
            if chance.below(4) == 0 {
                // In the middle of the handshake, where there is one.
                let moment = Duration::from_micros(chance.below(5_000));
                cx.move_on_after(moment, |cx| stream.handshake(cx))?;
                return Ok(());
            }
            let payload = vec![1; chance.below(100_000) as usize];
            let cut = chance.below(payload.len() as u64 + 1) as usize;
            stream.write_all(cx, &wire::header(Kind::Echo, payload.len()))?;
            stream.write_all(cx, &payload[cut..])
        });
        cx.checkpoint()?;
        figures.resets.fetch_add(1, Ordering::Relaxed);
    }
}

/// Asks for a megabyte and reads it drop by drop, and not to the end.
fn slow(cx: &mut Cx, server: &Target, number: u64, figures: &Figures) -> io::Result<()> {
    let mut chance = Chance::new(20_000 + number);
    loop {
        let limit = Duration::from_millis(2_000 + chance.below(8_000));
        let _ = cx.move_on_after(limit, |cx| -> io::Result<()> {
            let mut stream = server.connect(cx)?;
            let payload = vec![2; wire::BYTES_MAX];
            let (mut reader, mut writer) = stream.split();
            cx.nursery(|cx, n| -> io::Result<()> {
                n.spawn(move |cx| {
                    writer.write_all(cx, &wire::header(Kind::Echo, payload.len()))?;
                    writer.write_all(cx, &payload)?;
                    // A peer that ends its direction must not wake those who write to it.
                    Ok(writer.end_write(cx)?)
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
fn stopping(
    cx: &mut Cx,
    server: &Target,
    identity: Option<&Identity>,
    figures: &Figures,
) -> io::Result<()> {
    let mut round = 0;
    loop {
        let mut peer = Peer::start(server, identity)?;
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
    fn start(server: &Target, identity: Option<&Identity>) -> io::Result<Peer> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.args(["stopped", &server.address().to_string()]);
        command.envs(identity.into_iter().flat_map(Identity::variables));
        Ok(Peer(command.spawn()?))
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
    let address = server.parse().map_err(io::Error::other)?;
    let server = Target::new(address, Identity::given().as_ref())?;
    let run = conbrio::Builder::new().workers(1).run(|cx| {
        cx.nursery(|_, n| -> io::Result<()> {
            for _ in 0..STOPPED_CONNECTIONS {
                n.spawn(|cx| {
                    // The server may be full.
                    let _ = ask_for_much(cx, &server);
                    Ok(cx.checkpoint()?)
                });
            }
            Ok(())
        })
    });
    Ok(run.map_err(io::Error::other)??)
}

fn ask_for_much(cx: &mut Cx, server: &Target) -> io::Result<()> {
    let mut stream = server.connect(cx)?;
    let (mut reader, mut writer) = stream.split();
    cx.nursery(|cx, n| -> io::Result<()> {
        n.spawn(move |cx| -> io::Result<()> {
            let payload = vec![3; wire::BYTES_MAX];
            loop {
                writer.write_all(cx, &wire::header(Kind::Echo, payload.len()))?;
                writer.write_all(cx, &payload)?;
                cx.sleep(Duration::from_millis(100))?;
            }
        });
        let mut buffer = vec![0; 64 * 1024];
        while reader.read(cx, &mut buffer)? > 0 {}
        Ok(())
    })?;
    Ok(())
}

/// Opens more connections than the server has fds, holds them for two seconds, and closes them.
fn flooding(cx: &mut Cx, server: &Target, figures: &Figures) -> io::Result<()> {
    loop {
        cx.sleep(Duration::from_secs(10))?;
        let mut flood = Vec::new();
        for _ in 0..FLOOD {
            if let Ok(stream) = server.begin(cx) {
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
