//! Questions and answers of the domain name system, as far as a resolver needs them.
//!
//! Owns what counts as an answer: a message that does not belong to the question is no answer at all,
//! because anybody can send one.

use std::io;
use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};

/// What a server has said about a name.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// Never empty.
    Addresses(Vec<IpAddr>),
    /// Never empty.
    Names(Vec<Name>),
    /// The name exists, but has no record of this type.
    OtherThings,
    NoSuchName,
}

/// What to do about a message that has come.
#[derive(Debug)]
pub(super) enum Verdict {
    Answer(Answer),
    /// It does not belong to the question: wait on.
    Foreign,
    /// The answer is longer than fits: ask over TCP.
    Truncated,
    /// The server may not know the extension mechanism, RFC 6891, section 7: ask without.
    NoExtensions,
    /// The server does not want to answer, or cannot.
    Refused(ResponseCode),
}

/// A question that is put to servers.
pub(super) struct Question {
    message: Message,
}

impl Question {
    /// With an identity of its own, so that nobody can guess it.
    pub(super) fn new(name: &Name, kind: RecordType, with_extensions: bool) -> Question {
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), kind));
        if with_extensions {
            let mut edns = Edns::new();
            edns.set_version(0).set_max_payload(PAYLOAD_BYTES);
            message.set_edns(edns);
        }
        Question { message }
    }

    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        self.message.to_vec().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// What a message means that has come from the server.
    pub(super) fn judge(&self, bytes: &[u8]) -> Verdict {
        let Ok(answer) = Message::from_vec(bytes) else { return Verdict::Foreign };
        let asked = &self.message;
        if answer.metadata.id != asked.metadata.id
            || answer.metadata.message_type != MessageType::Response
        {
            return Verdict::Foreign;
        }
        let code = answer.metadata.response_code;
        let has_extensions = asked.edns.is_some();
        // A server that does not understand the question may leave it out.
        if has_extensions && matches!(code, ResponseCode::FormErr | ResponseCode::NotImp) {
            return Verdict::NoExtensions;
        }
        if answer.queries != asked.queries {
            return Verdict::Foreign;
        }
        match code {
            _ if answer.metadata.truncation => Verdict::Truncated,
            ResponseCode::NoError => Verdict::Answer(self.collect(&answer)),
            ResponseCode::NXDomain => Verdict::Answer(Answer::NoSuchName),
            other => Verdict::Refused(other),
        }
    }

    /// The records of the name that was asked for, or of the one that it is another name of.
    fn collect(&self, answer: &Message) -> Answer {
        let query = &self.message.queries[0];
        let mut name = query.name();
        // Ends: a chain has no more links than there are records, or it is a circle.
        for _ in 0..answer.answers.len() {
            let alias = answer.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == *name => Some(&target.0),
                _ => None,
            });
            match alias {
                Some(target) => name = target,
                None => break,
            }
        }
        let (mut addresses, mut names) = (Vec::new(), Vec::new());
        for record in answer.answers.iter().filter(|record| record.name == *name) {
            match (&record.data, query.query_type()) {
                (RData::A(ip), RecordType::A) => addresses.push(IpAddr::V4(ip.0)),
                (RData::AAAA(ip), RecordType::AAAA) => addresses.push(IpAddr::V6(ip.0)),
                (RData::PTR(target), RecordType::PTR) => names.push(target.0.clone()),
                _ => {}
            }
        }
        match (addresses.is_empty(), names.is_empty()) {
            (false, _) => Answer::Addresses(addresses),
            (true, false) => Answer::Names(names),
            (true, true) => Answer::OtherThings,
        }
    }
}

/// The name of a host, absolute. Letters outside of ASCII are written as RFC 5891 says.
pub(super) fn name(host: &str) -> io::Result<Name> {
    let mut name = if host.is_ascii() { Name::from_ascii(host) } else { Name::from_utf8(host) }
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    name.set_fqdn(true);
    if name.is_root() {
        let message = "it is no name of a host";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(name)
}

/// As people write it, without the dot at the end.
pub(super) fn text(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

/// What fits into one packet on nearly every way, so that an answer is not lost for one lost fragment.
pub(super) const PAYLOAD_BYTES: u16 = 1232;
