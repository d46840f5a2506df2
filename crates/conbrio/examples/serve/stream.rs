//! What a connection is read from and written to: TCP, or TLS over it.

use std::error::Error;
use std::fs::File;
use std::io;

use conbrio::io::{Error as IoError, HalfClose, Incomplete, Read, Write};
use conbrio::prelude::*;
#[cfg(feature = "tls")]
use conbrio::tls::{Acceptor, TlsStream};

/// Whether connections are encrypted, and by which certificate.
#[derive(Default)]
pub(crate) struct Encryption {
    #[cfg(feature = "tls")]
    acceptor: Option<Acceptor>,
}

impl Encryption {
    /// Makes a certificate for this run, which no client knows: `curl --insecure` takes it all the same.
    #[cfg(feature = "tls")]
    pub(crate) fn new() -> Result<Encryption, Box<dyn Error>> {
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names)?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let acceptor = Acceptor::builder()
            .certificate_pem(certificate.as_bytes(), key.as_bytes())
            .alpn(["http/1.1"])
            .build()?;
        // Lengths and chunks say where a message ends; browsers go without a word.
        Ok(Encryption { acceptor: Some(acceptor.https_compatible(true)) })
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn new() -> Result<Encryption, Box<dyn Error>> {
        Err("this example was built without TLS; build it with \
             `cargo run --release --features conbrio/tls --example serve -- . --tls`"
            .into())
    }

    pub(crate) fn begin(&self, cx: &mut Cx, stream: TcpStream) -> Result<Stream, IoError> {
        #[cfg(feature = "tls")]
        if let Some(acceptor) = &self.acceptor {
            return Ok(Stream::Encrypted(acceptor.accept(cx, stream)?));
        }
        cx.checkpoint()?;
        Ok(Stream::Plain(stream))
    }
}

pub(crate) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Encrypted(TlsStream<TcpStream>),
}

impl Stream {
    /// Sends a part of a file; the kernel does it where nothing has to be encrypted.
    pub(crate) fn send_file(
        &mut self,
        cx: &mut Cx,
        file: &File,
        offset: u64,
        length: u64,
    ) -> io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.send_file(cx, file, offset, length)?,
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => {
                use std::os::unix::fs::FileExt as _;
                let mut piece = vec![0; length as usize];
                cx.blocking(|| file.read_exact_at(&mut piece, offset))??;
                stream.write_all(cx, &piece)?;
            }
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, cx: &mut Cx, buf: &mut [u8]) -> Result<usize, IoError> {
        match self {
            Stream::Plain(stream) => stream.read(cx, buf),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, cx: &mut Cx, data: &[u8]) -> Result<usize, IoError> {
        match self {
            Stream::Plain(stream) => stream.write(cx, data),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.write(cx, data),
        }
    }

    fn flush(&mut self, cx: &mut Cx) -> Result<(), IoError> {
        match self {
            Stream::Plain(stream) => stream.flush(cx),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.flush(cx),
        }
    }

    fn write_all(&mut self, cx: &mut Cx, data: &[u8]) -> Result<(), Incomplete> {
        match self {
            Stream::Plain(stream) => stream.write_all(cx, data),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.write_all(cx, data),
        }
    }
}

impl HalfClose for Stream {
    fn end_write(&mut self, cx: &mut Cx) -> Result<(), IoError> {
        match self {
            Stream::Plain(stream) => stream.end_write(cx),
            #[cfg(feature = "tls")]
            Stream::Encrypted(stream) => stream.end_write(cx),
        }
    }
}
