//! The named counters of nftables, read by netlink. Nothing is changed, and no text is made and taken apart again.

mod quotas;

use std::io;

use crate::error::{Error, Kind, reason};
use crate::nfnetlink::conversation::{Conversation, Failure};
use crate::nfnetlink::{Malformed, Reply, Request};
use crate::nft_counters::{ANY_FAMILY, Counter, Table, counter_of, dump_counters, dump_tables, table_of};
use crate::rights;

/// How often a list is begun anew before the ruleset is called unsteady.
const ATTEMPTS_MAX: usize = 16;

const SUBJECT: &str = "nft counters";
const LIST: &str = "list";

/// Counters and the tables that they are in, all of one and the same ruleset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub tables: Vec<Table>,
    pub counters: Vec<Counter>,
}

/// A socket to the ruleset of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct NftCounters {
    conversation: Conversation,
}

/// What a list holds, and the generation of the ruleset that it was read from, as far as it was told.
type Listed<T> = (Vec<T>, Option<u16>);

impl NftCounters {
    /// # Errors
    /// [`Kind::NotSupported`]: a kernel without netfilter's netlink.
    pub fn open() -> Result<Self, Error> {
        let conversation = Conversation::open().map_err(|error| failed(Failure::Socket(error)))?;
        Ok(Self { conversation })
    }

    /// The counters of one table; none where there is no such table. Asks for one list, and for no more if it holds.
    ///
    /// # Errors
    /// [`Kind::Unsteady`]: the ruleset was changed each time while it was read.
    pub fn of_table(&mut self, family: u8, table: &[u8]) -> Result<Vec<Counter>, Error> {
        steady(|| Ok(Some(self.counters(family, Some(table))?.0)))
    }

    /// All counters and all tables, of one moment of the ruleset.
    ///
    /// # Errors
    /// [`Kind::Unsteady`]: the ruleset was changed each time while it was read.
    pub fn all(&mut self) -> Result<Snapshot, Error> {
        steady(|| {
            let (tables, before) = self.listed(dump_tables(ANY_FAMILY), &table_of)?;
            let (counters, after) = self.counters(ANY_FAMILY, None)?;
            // Each list is whole by itself; only both of one generation belong together.
            let is_one = before.zip(after).is_none_or(|(before, after)| before == after);
            Ok(is_one.then_some(Snapshot { tables, counters }))
        })
    }

    fn counters(&mut self, family: u8, table: Option<&[u8]>) -> Result<Listed<Counter>, Failure> {
        self.listed(dump_counters(family, table), &counter_of)
    }

    fn listed<T>(
        &mut self,
        request: Request,
        read: &dyn Fn(&Reply<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Listed<T>, Failure> {
        let (mut found, mut generation) = (Vec::new(), None);
        self.conversation.ask_replies(request, &mut |reply| {
            generation = Some(reply.resource);
            found.extend(read(reply)?);
            Ok(())
        })?;
        Ok((found, generation))
    }
}

/// Asks until there is an answer that holds together. The kernel tells of a list during which the ruleset was changed.
fn steady<T>(mut ask: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Error> {
    let mut why = "";
    for _ in 0..ATTEMPTS_MAX {
        match ask() {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => why = "the ruleset was changed meanwhile",
            Err(Failure::Broken(reason)) => why = reason,
            Err(failure) => return Err(failed(failure)),
        }
    }
    Err(Error::new(Kind::Unsteady, SUBJECT, LIST, format!("{why}, {ATTEMPTS_MAX} times in a row"))
        .with_hint("ask again when rules are being changed less often"))
}

fn failed(failure: Failure) -> Error {
    let errno = match failure {
        Failure::Broken(why) => return Error::new(Kind::Source, SUBJECT, LIST, why),
        Failure::Socket(error) => error.raw_os_error().unwrap_or(0),
        Failure::Refused { errno, .. } => errno,
    };
    let error = Error::new(Kind::Source, SUBJECT, LIST, reason(&io::Error::from_raw_os_error(errno)));
    match errno {
        libc::EPERM | libc::EACCES => {
            error.with_kind(Kind::PermissionDenied).with_hint(rights::hint(&[rights::NET_ADMIN]))
        }
        // What is asked is well-formed: the kernel says EINVAL to a subsystem that it does not have.
        libc::EOPNOTSUPP | libc::EINVAL | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => error
            .with_kind(Kind::NotSupported)
            .with_hint("load the module nf_tables, or run a kernel with CONFIG_NF_TABLES"),
        _ => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]
mod tests {
    use super::*;

    #[test]
    fn a_ruleset_that_stands_still_at_last_is_read() {
        let mut answers = vec![Ok(Some(7)), Ok(None), Err(Failure::Broken("objects came or went meanwhile"))];
        assert_eq!(steady(|| answers.pop().unwrap()).unwrap(), 7);
        assert!(answers.is_empty());
    }

    #[test]
    fn a_ruleset_that_never_stands_still_is_given_up() {
        let mut count = 0;
        let error = steady::<()>(|| {
            count += 1;
            Ok(None)
        });
        let error = error.unwrap_err();
        assert_eq!((error.kind, count), (Kind::Unsteady, ATTEMPTS_MAX));
        assert_eq!(error.to_string(), "nft counters: list: the ruleset was changed meanwhile, 16 times in a row");
    }

    #[test]
    fn a_refusal_is_told_and_not_repeated() {
        for (errno, kind) in
            [(libc::EPERM, Kind::PermissionDenied), (libc::EINVAL, Kind::NotSupported), (libc::ENOMEM, Kind::Source)]
        {
            let mut count = 0;
            let error = steady::<()>(|| {
                count += 1;
                Err(Failure::Refused { errno, message: String::new() })
            });
            let error = error.unwrap_err();
            assert_eq!((error.kind, error.hint.is_some(), count), (kind, kind != Kind::Source, 1));
        }
    }
}
