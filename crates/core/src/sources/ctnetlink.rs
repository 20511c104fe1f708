//! Asking connection tracking: lists, one flow, zeroing, deleting; and being told of its events.

pub mod dump;
pub mod events;

use std::io;

use crate::conntrack::expectation::{Expectation, is_expectation};
use crate::conntrack::requests::{self, Named};
use crate::conntrack::statistics::{Count, Statistics};
use crate::conntrack::{Flow, Tuple, flow_of};
use crate::error::{Error, Kind, reason};
use crate::nfnetlink::conversation::{Conversation, Failure};
use crate::nfnetlink::{Content, Malformed, Reply, Request};
use crate::rights;

const TABLE: &str = "conntrack table";
const FLOW: &str = "conntrack flow";
/// The kernel's own number for what it does not support, which has no name outside.
const ENOTSUPP: i32 = 524;

/// A flow that outlives the message it was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Without its texts and labels, which are here.
    pub flow: Flow<'static>,
    pub labels: Option<Vec<u8>>,
    pub helper: Option<Vec<u8>>,
    pub security_context: Option<Vec<u8>>,
}

impl From<Flow<'_>> for Kept {
    fn from(flow: Flow<'_>) -> Self {
        let bytes = |text: Option<&[u8]>| text.map(<[u8]>::to_vec);
        Self {
            labels: bytes(flow.labels),
            helper: bytes(flow.helper),
            security_context: bytes(flow.security_context),
            flow: Flow { labels: None, helper: None, security_context: None, ..flow },
        }
    }
}

/// An expectation that outlives its message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptExpectation {
    /// Without its texts, which are here.
    pub expectation: Expectation<'static>,
    pub helper: Option<Vec<u8>>,
    pub function: Option<Vec<u8>>,
}

impl From<Expectation<'_>> for KeptExpectation {
    fn from(expectation: Expectation<'_>) -> Self {
        Self {
            helper: expectation.helper.map(<[u8]>::to_vec),
            function: expectation.function.map(<[u8]>::to_vec),
            expectation: Expectation { helper: None, function: None, ..expectation },
        }
    }
}

/// A socket to the connection tracking of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Ctnetlink {
    conversation: Conversation,
}

impl Ctnetlink {
    /// # Errors
    /// [`Kind::NotSupported`]: a kernel without netfilter's netlink.
    pub fn open() -> Result<Self, Error> {
        let conversation = Conversation::open().map_err(|error| failed(TABLE, "open", Failure::Socket(error)))?;
        Ok(Self { conversation })
    }

    /// # Errors
    /// [`Kind::NotFound`].
    pub fn get(&mut self, flow: &Named) -> Result<Kept, Error> {
        self.one(flow, "get", requests::get(flow))
    }

    /// Takes the counters of one flow and leaves 0, without losing a packet in between.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn zero(&mut self, flow: &Named) -> Result<Kept, Error> {
        self.one(flow, "zero", requests::get_and_zero(flow))
    }

    fn one(&mut self, flow: &Named, operation: &'static str, request: Request) -> Result<Kept, Error> {
        let mut found = None;
        self.ask(FLOW, operation, request, &mut |reply| {
            if let Some((_, flow)) = flow_of(reply) {
                found = Some(Kept::from(flow?));
            }
            Ok(())
        })
        .map_err(|error| about(error, &flow.tuple))?;
        found.ok_or_else(|| Error::new(Kind::Source, FLOW, operation, "the kernel answers without the flow"))
    }

    /// With `id` only if it is that very flow.
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn delete(&mut self, flow: &Named, id: Option<u32>) -> Result<(), Error> {
        self.ask(FLOW, "delete", requests::delete(flow, id), &mut |_| Ok(())).map_err(|error| about(error, &flow.tuple))
    }

    /// Deletes all flows, or those of a family.
    ///
    /// # Errors
    /// [`Kind::PermissionDenied`].
    pub fn flush(&mut self, family: Option<u8>) -> Result<(), Error> {
        self.ask(TABLE, "flush", requests::flush(family), &mut |_| Ok(()))
    }

    /// # Errors
    /// [`Kind::PermissionDenied`].
    pub fn count(&mut self) -> Result<Count, Error> {
        let mut found = None;
        self.ask(TABLE, "count", requests::count(), &mut |reply| {
            if let Content::Data { kind, attributes } = &reply.content {
                found = Count::read(*kind, attributes.clone())?.or(found);
            }
            Ok(())
        })?;
        found.ok_or_else(|| Error::new(Kind::Source, TABLE, "count", "the kernel answers without the count"))
    }

    /// # Errors
    /// [`Kind::PermissionDenied`].
    pub fn statistics(&mut self) -> Result<Vec<Statistics>, Error> {
        let mut all = Vec::new();
        self.ask(TABLE, "statistics", requests::statistics(), &mut |reply| {
            if let Content::Data { kind, attributes } = &reply.content {
                all.extend(Statistics::read(*kind, reply.resource, attributes.clone())?);
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// # Errors
    /// [`Kind::PermissionDenied`].
    pub fn expectations(&mut self, family: Option<u8>) -> Result<Vec<KeptExpectation>, Error> {
        let mut all = Vec::new();
        self.ask(TABLE, "list expectations", requests::expectations(family), &mut |reply| {
            if let Content::Data { kind, attributes } = &reply.content
                && is_expectation(*kind)
            {
                all.push(Expectation::read(reply.family, attributes.clone())?.into());
            }
            Ok(())
        })?;
        Ok(all)
    }

    fn ask(
        &mut self,
        subject: &str,
        operation: &'static str,
        request: Request,
        take: &mut dyn FnMut(&Reply<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Error> {
        let answer = self.conversation.ask_replies(request, take);
        answer.map(|_| ()).map_err(|failure| failed(subject, operation, failure))
    }
}

/// What the kernel says to a direction that it cannot read is no lack of the kernel.
fn about(error: Error, tuple: &Tuple) -> Error {
    if error.kind != Kind::NotSupported || tuple.protocol == 0 {
        return error;
    }
    error
        .with_kind(Kind::Source)
        .with_hint("name the flow by what its protocol has: ports, or type, code and id of ICMP")
}

/// What the kernel's numbers mean here.
fn failed(subject: &str, operation: &'static str, failure: Failure) -> Error {
    let (errno, message) = match failure {
        Failure::Broken(why) => {
            return Error::new(Kind::Unsteady, subject, operation, why).with_hint("ask again");
        }
        Failure::Socket(error) => (error.raw_os_error().unwrap_or(0), String::new()),
        Failure::Refused { errno, message } => (errno, message),
    };
    let mut cause = reason(&io::Error::from_raw_os_error(errno));
    let explained = !message.is_empty();
    if explained {
        cause = format!("{cause} ({message})");
    }
    let error = Error::new(Kind::Source, subject, operation, cause);
    match errno {
        libc::EPERM | libc::EACCES => {
            error.with_kind(Kind::PermissionDenied).with_hint(rights::hint(&[rights::NET_ADMIN]))
        }
        libc::ENOENT => error
            .with_kind(Kind::NotFound)
            .with_hint("flows end by themselves; `conntrack -L` names those of this network namespace"),
        // Without a word the kernel says so to a subsystem that it does not have.
        libc::EINVAL if explained => error,
        libc::EOPNOTSUPP | ENOTSUPP | libc::EINVAL | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => error
            .with_kind(Kind::NotSupported)
            .with_hint("load the module nf_conntrack_netlink, or run a kernel with CONFIG_NF_CT_NETLINK"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_the_kernel_has_its_meaning() {
        let cases = [
            (libc::EPERM, Kind::PermissionDenied),
            (libc::ENOENT, Kind::NotFound),
            (libc::EOPNOTSUPP, Kind::NotSupported),
            (libc::EINVAL, Kind::NotSupported),
            (libc::EPROTONOSUPPORT, Kind::NotSupported),
            (libc::ENOMEM, Kind::Source),
        ];
        for (errno, kind) in cases {
            let error = failed(TABLE, "dump", Failure::Refused { errno, message: String::new() });
            assert_eq!((error.kind, error.hint.is_some()), (kind, kind != Kind::Source), "{errno}");
            let error = failed(TABLE, "dump", Failure::Socket(io::Error::from_raw_os_error(errno)));
            assert_eq!(error.kind, kind, "{errno}");
        }
        let refused = Failure::Refused { errno: libc::EINVAL, message: "out of range".to_owned() };
        assert_eq!(failed(TABLE, "dump", refused).kind, Kind::Source);
        assert_eq!(failed(TABLE, "dump", Failure::Broken("torn")).kind, Kind::Unsteady);
    }

    #[test]
    fn a_direction_that_the_kernel_cannot_read_is_no_lack_of_the_kernel() {
        let refused = || failed(FLOW, "get", Failure::Refused { errno: libc::EINVAL, message: String::new() });
        let tcp = Tuple { protocol: 6, ..Tuple::default() };
        assert_eq!(about(refused(), &tcp).kind, Kind::Source);
        let gone = failed(FLOW, "get", Failure::Refused { errno: libc::ENOENT, message: String::new() });
        assert_eq!(about(gone, &tcp).kind, Kind::NotFound);
    }
}
