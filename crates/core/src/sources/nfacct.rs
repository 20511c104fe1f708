//! The kernel's named counters: list, get, zero, make, delete; and being told when a quota is reached.

pub mod events;

use std::io;

use crate::error::{Error, Kind, reason};
use crate::nfacct::{self, Filter, NAME_BYTES_MAX, OBJECT_BYTES_MAX, Object};
use crate::nfnetlink::Request;
use crate::nfnetlink::conversation::{Conversation, Ending, Failure};
use crate::rights;

/// How often a list is begun anew before the table is called unsteady.
const ATTEMPTS_MAX: usize = 16;

const LIST: &str = "list";

/// A socket to the counters of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Nfacct {
    conversation: Conversation,
    /// How many objects the last list had: the next one will have as many.
    expected: usize,
}

impl Nfacct {
    /// # Errors
    /// [`Kind::NotSupported`]: a kernel without netfilter's netlink.
    pub fn open() -> Result<Self, Error> {
        let conversation = Conversation::open().map_err(|error| failed(TABLE, "open", Failure::Socket(error)))?;
        Ok(Self { conversation, expected: 0 })
    }

    /// The objects that pass the filter, in the order in which they were made.
    ///
    /// # Errors
    /// [`Kind::Unsteady`]: objects came and went all the time, so that no list was whole.
    pub fn list(&mut self, filter: Filter) -> Result<Vec<Object>, Error> {
        whole(|| self.dump(filter))
    }

    fn dump(&mut self, filter: Filter) -> Result<(Vec<Object>, Ending), Failure> {
        let mut objects = Vec::with_capacity(self.expected);
        let ending = self.conversation.ask(nfacct::dump(filter), &mut |kind, attributes| {
            if nfacct::is_object(kind) {
                objects.push(Object::read(attributes)?);
            }
            Ok(())
        })?;
        self.expected = objects.len();
        Ok((objects, ending))
    }

    /// # Errors
    /// [`Kind::NotFound`].
    pub fn get(&mut self, name: &[u8]) -> Result<Object, Error> {
        self.one(name, "get", nfacct::get(name))
    }

    /// Takes the counters of one object and leaves 0, without losing a packet in between; its quota begins anew.
    ///
    /// There is no such thing for all objects at once: the kernel's dump that zeroes loses the counters of an object
    /// that does not fit into a part any more (`nfnl_acct_fill_info` zeroes them before it finds that out).
    ///
    /// # Errors
    /// [`Kind::NotFound`].
    pub fn reset(&mut self, name: &[u8]) -> Result<Object, Error> {
        self.one(name, "reset", nfacct::get_and_zero(name))
    }

    fn one(&mut self, name: &[u8], operation: &'static str, request: Request) -> Result<Object, Error> {
        let subject = subject(name, operation)?;
        let mut found = None;
        let asked = self.conversation.ask(request, &mut |kind, attributes| {
            if nfacct::is_object(kind) {
                found = Some(Object::read(attributes)?);
            }
            Ok(())
        });
        asked.map_err(|failure| failed(&subject, operation, failure))?;
        found.ok_or_else(|| Error::new(Kind::Source, subject, operation, "the kernel answers without the object"))
    }

    /// Makes an object, with the counters and the quota it shall have.
    ///
    /// # Errors
    /// [`Kind::Exists`].
    pub fn add(&mut self, object: &Object) -> Result<(), Error> {
        self.order(&object.name, "add", nfacct::create(object))
    }

    /// # Errors
    /// [`Kind::NotFound`]; [`Kind::ObjectBusy`] while a rule uses it.
    pub fn delete(&mut self, name: &[u8]) -> Result<(), Error> {
        self.order(name, "delete", nfacct::delete(name))
    }

    fn order(&mut self, name: &[u8], operation: &'static str, request: Request) -> Result<(), Error> {
        let subject = subject(name, operation)?;
        let answer = self.conversation.ask(request, &mut |_, _| Ok(()));
        answer.map(|_| ()).map_err(|failure| failed(&subject, operation, failure))
    }

    /// Deletes all objects that no rule uses.
    ///
    /// # Errors
    /// [`Kind::PermissionDenied`].
    pub fn flush(&mut self) -> Result<(), Error> {
        let answer = self.conversation.ask(nfacct::flush(), &mut |_, _| Ok(()));
        answer.map(|_| ()).map_err(|failure| failed(TABLE, "flush", failure))
    }
}

/// The kernel's own number for what it does not support, which has no name outside.
const ENOTSUPP: i32 = 524;
const TABLE: &str = "nfacct counters";

/// Asks for a list until it is one that surely has no end cut off.
fn whole(mut dump: impl FnMut() -> Result<(Vec<Object>, Ending), Failure>) -> Result<Vec<Object>, Error> {
    let mut before: Option<Vec<Vec<u8>>> = None;
    let mut why = "";
    for _ in 0..ATTEMPTS_MAX {
        let (objects, ending) = match dump() {
            Ok(listed) => listed,
            Err(Failure::Broken(reason)) => {
                why = reason;
                continue;
            }
            Err(failure) => return Err(failed(TABLE, LIST, failure)),
        };
        // A list stops, and the kernel does not say so, when the object it was to go on with is deleted between two
        // parts (`nfnl_acct_dump`). Its last part was full then. Twice the same is not by chance.
        if ending.room_bytes >= OBJECT_BYTES_MAX {
            return Ok(objects);
        }
        let names: Vec<_> = objects.iter().map(|object| object.name.clone()).collect();
        if before.as_ref() == Some(&names) {
            return Ok(objects);
        }
        before = Some(names);
        why = "objects came or went meanwhile";
    }
    Err(Error::new(Kind::Unsteady, TABLE, LIST, format!("{why}, {ATTEMPTS_MAX} times in a row"))
        .with_hint("ask again when fewer objects are being made and deleted"))
}

/// What an error is about; refuses a name that no object can have, before the kernel sees it.
fn subject(name: &[u8], operation: &'static str) -> Result<String, Error> {
    let subject = format!("nfacct counter {}", name.escape_ascii());
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(&0) {
        let cause = format!("a name is 1 to {NAME_BYTES_MAX} bytes, none of them NUL");
        return Err(Error::new(Kind::Source, subject, operation, cause));
    }
    Ok(subject)
}

/// What the kernel's numbers mean here.
fn failed(subject: &str, operation: &'static str, failure: Failure) -> Error {
    let (errno, message) = match failure {
        Failure::Broken(why) => return Error::new(Kind::Source, subject, operation, why),
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
        libc::ENOENT => {
            error.with_kind(Kind::NotFound).with_hint("`nfacct list` names the counters of this network namespace")
        }
        libc::EEXIST => error.with_kind(Kind::Exists).with_hint("delete it first, or take another name"),
        libc::EBUSY => error.with_kind(Kind::ObjectBusy).with_hint("remove the rules that use it first"),
        // The kernel says so to a subsystem that it does not have, without a word. With words it is a value that it
        // refuses, and the words say which.
        libc::EINVAL if explained => error,
        libc::EOPNOTSUPP | ENOTSUPP | libc::EINVAL | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => error
            .with_kind(Kind::NotSupported)
            .with_hint("load the module nfnetlink_acct, or run a kernel with CONFIG_NETFILTER_NETLINK_ACCT"),
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
            (libc::EEXIST, Kind::Exists),
            (libc::EBUSY, Kind::ObjectBusy),
            (libc::EOPNOTSUPP, Kind::NotSupported),
            (libc::EINVAL, Kind::NotSupported),
            (libc::EPROTONOSUPPORT, Kind::NotSupported),
            (libc::ENOMEM, Kind::Source),
        ];
        for (errno, kind) in cases {
            let error = failed("x", "get", Failure::Refused { errno, message: String::new() });
            assert_eq!((error.kind, error.hint.is_some()), (kind, kind != Kind::Source), "{errno}");
            let error = failed("x", "get", Failure::Socket(io::Error::from_raw_os_error(errno)));
            assert_eq!(error.kind, kind, "{errno}");
        }
    }

    #[test]
    fn a_value_that_is_refused_with_words_is_no_missing_module() {
        let message = "Attribute failed policy validation".to_owned();
        let error = failed("x", "add", Failure::Refused { errno: libc::EINVAL, message });
        assert_eq!((error.kind, error.hint.as_deref()), (Kind::Source, None));
        assert_eq!(error.cause, "invalid argument (Attribute failed policy validation)");
    }

    #[test]
    fn the_words_of_the_kernel_stand_behind_its_number() {
        let failure = Failure::Refused { errno: libc::ERANGE, message: "integer out of range".to_owned() };
        let error = failed("x", "add", failure);
        assert_eq!(error.to_string(), "x: add: numerical result out of range (integer out of range)");
    }

    #[test]
    fn a_name_that_no_object_can_have_is_refused() {
        for name in [&b""[..], b"a\0b", &[b'n'; 32]] {
            assert!(subject(name, "get").is_err(), "{name:?}");
        }
        assert_eq!(subject(b"a\xff b", "get").as_deref(), Ok("nfacct counter a\\xff b"));
        assert!(subject(&[b'n'; 31], "get").is_ok());
    }

    fn listed(names: &[&str], room_bytes: usize) -> (Vec<Object>, Ending) {
        let object = |name: &&str| Object { name: name.as_bytes().to_vec(), ..Object::default() };
        (names.iter().map(object).collect(), Ending { room_bytes })
    }

    type Dumped = Result<(Vec<Object>, Ending), Failure>;

    /// What comes of dumps that end like these, one after the other; and how many of them were asked for.
    fn asked<const N: usize>(mut dumps: [Option<Dumped>; N]) -> (Result<usize, Error>, usize) {
        let mut count = 0;
        let answer = whole(|| {
            count += 1;
            dumps.get_mut(count - 1).and_then(Option::take).unwrap_or(Err(Failure::Broken("torn")))
        });
        (answer.map(|objects| objects.len()), count)
    }

    #[test]
    fn a_list_with_room_behind_it_is_whole() {
        assert_eq!(asked([Some(Ok(listed(&["a", "b"], OBJECT_BYTES_MAX)))]), (Ok(2), 1));
        let torn = || Some(Err(Failure::Broken("torn")));
        assert_eq!(asked([torn(), torn(), Some(Ok(listed(&["a"], 4_000)))]), (Ok(1), 3));
    }

    #[test]
    fn a_list_that_fills_its_last_part_must_come_twice() {
        let full = |names: &[&str]| Some(Ok(listed(names, OBJECT_BYTES_MAX - 1)));
        assert_eq!(asked([full(&["a", "b"]), full(&["a", "b"])]), (Ok(2), 2));
        assert_eq!(asked([full(&["a"]), full(&["a", "b"]), full(&["a", "b"])]), (Ok(2), 3));
        assert_eq!(asked([full(&["a"]), Some(Ok(listed(&["a", "b", "c"], 4_000)))]), (Ok(3), 2));
    }

    #[test]
    fn a_list_that_is_never_whole_is_given_up() {
        let (answer, count) = asked([]);
        assert_eq!((answer.map_err(|error| error.kind), count), (Err(Kind::Unsteady), ATTEMPTS_MAX));
        let mut length = 0;
        let answer = whole(|| {
            length += 1;
            Ok(listed(&vec!["a"; length], 0))
        });
        let error = answer.err().map(|error| error.to_string());
        let expected = "nfacct counters: list: objects came or went meanwhile, 16 times in a row";
        assert_eq!(error.as_deref(), Some(expected));
    }

    #[test]
    fn a_refusal_is_not_repeated() {
        let refused = Failure::Refused { errno: libc::EPERM, message: String::new() };
        let (answer, count) = asked([Some(Err(refused))]);
        assert_eq!((answer.map_err(|error| error.kind), count), (Err(Kind::PermissionDenied), 1));
    }
}
