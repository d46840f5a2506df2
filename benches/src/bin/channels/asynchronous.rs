//! The work with the async channels, in tasks of tokio.

use std::future::Future;

use conbrio_benches::meter::Meter;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::{OPERATIONS, Shape};

/// A kind of channel.
trait Kind: 'static {
    type Tx: Clone + Send + Sync + 'static;
    type Rx: Send + 'static;

    fn make(capacity: Option<usize>) -> (Self::Tx, Self::Rx);
    /// Another receiver of the same channel, if the library has that.
    fn share(rx: &Self::Rx) -> Option<Self::Rx>;
    fn send(tx: &Self::Tx, item: usize) -> impl Future<Output = ()> + Send;
    fn recv(rx: &mut Self::Rx) -> impl Future<Output = Option<usize>> + Send;
}

pub(crate) fn measure(
    system: &str,
    shape: Shape,
    capacity: Option<usize>,
    workers: usize,
    meter: Meter,
) -> Meter {
    match (system, capacity) {
        ("tokio", Some(_)) => run::<Tokio>(shape, capacity, workers, meter),
        ("tokio", None) => run::<TokioUnbounded>(shape, capacity, workers, meter),
        ("flume", _) => run::<Flume>(shape, capacity, workers, meter),
        ("async-channel", _) => run::<AsyncChannel>(shape, capacity, workers, meter),
        ("kanal", _) => run::<Kanal>(shape, capacity, workers, meter),
        _ => panic!("{system} is no async channel"),
    }
}

fn runtime(workers: usize) -> Runtime {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).build().expect("a runtime")
}

fn run<K: Kind>(shape: Shape, capacity: Option<usize>, workers: usize, mut meter: Meter) -> Meter {
    runtime(workers).block_on(async {
        while meter.wants_more() {
            let pass = meter.start();
            let mut tasks = JoinSet::new();
            match shape {
                Shape::PingPong => ping_pong::<K>(capacity, &mut tasks),
                Shape::Many(producers, consumers) => {
                    many::<K>(capacity, producers, consumers, &mut tasks);
                }
            }
            while let Some(ended) = tasks.join_next().await {
                ended.expect("nobody fails");
            }
            meter.stop(pass, OPERATIONS);
        }
        meter
    })
}

fn ping_pong<K: Kind>(capacity: Option<usize>, tasks: &mut JoinSet<()>) {
    let (ping, mut pinged) = K::make(capacity);
    let (pong, mut ponged) = K::make(capacity);
    tasks.spawn(async move {
        for item in 0..OPERATIONS {
            K::send(&ping, item).await;
            K::recv(&mut ponged).await;
        }
    });
    tasks.spawn(async move {
        for _ in 0..OPERATIONS {
            let item = K::recv(&mut pinged).await.expect("nobody leaves");
            K::send(&pong, item).await;
        }
    });
}

fn many<K: Kind>(
    capacity: Option<usize>,
    producers: usize,
    consumers: usize,
    tasks: &mut JoinSet<()>,
) {
    let (tx, rx) = K::make(capacity);
    for _ in 0..producers {
        let tx = tx.clone();
        tasks.spawn(async move {
            for item in 0..OPERATIONS / producers {
                K::send(&tx, item).await;
            }
        });
    }
    let share = |_| K::share(&rx).expect("it can be shared");
    let mut receivers: Vec<K::Rx> = (1..consumers).map(share).collect();
    receivers.push(rx);
    for mut rx in receivers {
        tasks.spawn(async move {
            while let Some(item) = K::recv(&mut rx).await {
                std::hint::black_box(item);
            }
        });
    }
}

struct Tokio;

impl Kind for Tokio {
    type Tx = tokio::sync::mpsc::Sender<usize>;
    type Rx = tokio::sync::mpsc::Receiver<usize>;

    fn make(capacity: Option<usize>) -> (Self::Tx, Self::Rx) {
        tokio::sync::mpsc::channel(capacity.expect("bounded"))
    }

    fn share(_: &Self::Rx) -> Option<Self::Rx> {
        None
    }

    async fn send(tx: &Self::Tx, item: usize) {
        tx.send(item).await.expect("nobody leaves");
    }

    async fn recv(rx: &mut Self::Rx) -> Option<usize> {
        rx.recv().await
    }
}

struct TokioUnbounded;

impl Kind for TokioUnbounded {
    type Tx = tokio::sync::mpsc::UnboundedSender<usize>;
    type Rx = tokio::sync::mpsc::UnboundedReceiver<usize>;

    fn make(_: Option<usize>) -> (Self::Tx, Self::Rx) {
        tokio::sync::mpsc::unbounded_channel()
    }

    fn share(_: &Self::Rx) -> Option<Self::Rx> {
        None
    }

    async fn send(tx: &Self::Tx, item: usize) {
        tx.send(item).expect("nobody leaves");
    }

    async fn recv(rx: &mut Self::Rx) -> Option<usize> {
        rx.recv().await
    }
}

struct Flume;

impl Kind for Flume {
    type Tx = flume::Sender<usize>;
    type Rx = flume::Receiver<usize>;

    fn make(capacity: Option<usize>) -> (Self::Tx, Self::Rx) {
        capacity.map_or_else(flume::unbounded, flume::bounded)
    }

    fn share(rx: &Self::Rx) -> Option<Self::Rx> {
        Some(rx.clone())
    }

    async fn send(tx: &Self::Tx, item: usize) {
        tx.send_async(item).await.expect("nobody leaves");
    }

    async fn recv(rx: &mut Self::Rx) -> Option<usize> {
        rx.recv_async().await.ok()
    }
}

struct AsyncChannel;

impl Kind for AsyncChannel {
    type Tx = async_channel::Sender<usize>;
    type Rx = async_channel::Receiver<usize>;

    fn make(capacity: Option<usize>) -> (Self::Tx, Self::Rx) {
        capacity.map_or_else(async_channel::unbounded, async_channel::bounded)
    }

    fn share(rx: &Self::Rx) -> Option<Self::Rx> {
        Some(rx.clone())
    }

    async fn send(tx: &Self::Tx, item: usize) {
        tx.send(item).await.expect("nobody leaves");
    }

    async fn recv(rx: &mut Self::Rx) -> Option<usize> {
        rx.recv().await.ok()
    }
}

struct Kanal;

impl Kind for Kanal {
    type Tx = kanal::AsyncSender<usize>;
    type Rx = kanal::AsyncReceiver<usize>;

    fn make(capacity: Option<usize>) -> (Self::Tx, Self::Rx) {
        capacity.map_or_else(kanal::unbounded_async, kanal::bounded_async)
    }

    fn share(rx: &Self::Rx) -> Option<Self::Rx> {
        Some(rx.clone())
    }

    async fn send(tx: &Self::Tx, item: usize) {
        tx.send(item).await.expect("nobody leaves");
    }

    async fn recv(rx: &mut Self::Rx) -> Option<usize> {
        rx.recv().await.ok()
    }
}
