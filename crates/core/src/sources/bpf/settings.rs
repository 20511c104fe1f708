//! From what is asked for to what the program reads.

use crate::packet::Depth;
use crate::posting::{KeySpec, Poster};

use super::layout::{LAYOUT, PATTERNS_MAX, Pattern, SLOTS, Settings};
use super::tables::Tables;
use super::{AttachPoint, Config, names};

const WORD: u32 = 8;

/// All that a program is loaded with.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) settings: Settings,
    /// None: no address is looked up.
    pub(super) tables: Option<Tables>,
}

/// The words of a key that tell rows apart, in bytes.
pub(super) fn key_bytes(spec: &KeySpec) -> u32 {
    match (spec.has_peer(), Poster::new(spec, false).is_host_only()) {
        (true, _) => 6 * WORD,
        (false, true) => 2 * WORD,
        (false, false) => 4 * WORD,
    }
}

impl Wanted {
    /// # Errors
    /// What is asked for cannot be told to the program; says what.
    pub(super) fn of(config: &Config) -> Result<Self, String> {
        if config.rows_max == 0 || config.side == 0 {
            return Err("rows_max and side are above 0".to_owned());
        }
        let spec = &config.spec;
        let poster = Poster::new(spec, false);
        let [host_mask, peer_mask] = poster.address_masks().map(|families| families.map(halves));
        let [meta_mask, place_mask] = poster.word_masks();
        let tables = Tables::new(&spec.local, &config.networks, &config.networks_excluded)
            .ok_or("too many networks: the program has room for about 8,000 in each family")?;
        let tables = Some(tables).filter(|tables| tables.asked != 0);
        let [ipv4_half, ipv6_half] = tables.as_ref().map_or([0; 2], Tables::halves);
        let mut settings = Settings {
            host_mask,
            peer_mask,
            meta_mask,
            place_mask,
            side: config.side.into(),
            key_bytes: key_bytes(spec),
            ports: u8::from(spec.depth() == Depth::Ports),
            networks: tables.as_ref().map_or(0, |tables| tables.asked),
            ipv4_half,
            ipv6_half,
            ..Settings::default()
        };
        if config.attach == AttachPoint::Netfilter {
            choose_interfaces(&mut settings, config)?;
        }
        Ok(Self { settings, tables })
    }

    /// Tells whether two programs count the same: a digest of all that they were made from.
    pub(super) fn fingerprint(&self, config: &Config, object: &[u8]) -> String {
        // Whose the generation number is says nothing about what is counted.
        let settings = Settings { side: 0, ..self.settings.clone() };
        let tables = self.tables.as_ref().map_or_else(Vec::new, Tables::bytes);
        let others = format!(
            "{LAYOUT} {SLOTS} {} {:?} {:?} {} {} {} {}",
            config.rows_max,
            config.attach,
            config.active_hooks(),
            config.priority,
            config.spec.columns,
            config.spec.ipv4_prefix_length,
            config.spec.ipv6_prefix_length,
        );
        digest(&[object, &settings.bytes(), &tables, others.as_bytes()])
    }
}

fn choose_interfaces(settings: &mut Settings, config: &Config) -> Result<(), String> {
    let chosen = names::wanted(&config.interfaces)?;
    settings.loopback = u8::from(config.loopback || chosen.names_loopback);
    settings.interfaces_limited = u8::from(chosen.wanted.is_some());
    settings.interfaces_count = fill(&mut settings.interfaces, &chosen.wanted.unwrap_or_default())?;
    let excluded = config.interfaces_excluded.iter().map(|text| names::pattern(text)).collect::<Result<Vec<_>, _>>()?;
    settings.interfaces_excluded_count = fill(&mut settings.interfaces_excluded, &excluded)?;
    Ok(())
}

fn fill(places: &mut [Pattern; PATTERNS_MAX], patterns: &[Pattern]) -> Result<u8, String> {
    if patterns.len() > PATTERNS_MAX {
        return Err(format!("more than {PATTERNS_MAX} interfaces; write those that begin alike as one, with a *"));
    }
    for (place, pattern) in places.iter_mut().zip(patterns) {
        *place = *pattern;
    }
    Ok(u8::try_from(patterns.len()).unwrap_or(u8::MAX))
}

#[allow(clippy::cast_possible_truncation, reason = "the two halves")]
fn halves(mask: u128) -> [u64; 2] {
    [(mask >> 64) as u64, mask as u64]
}

/// FNV-1a of 128 bits. It meets mistakes and changes, not attackers: who can write here can do worse.
fn digest(parts: &[&[u8]]) -> String {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let length_and_bytes =
        parts.iter().flat_map(|part| part.len().to_le_bytes().into_iter().chain(part.iter().copied()));
    let hash = length_and_bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME));
    format!("{hash:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Address;

    fn config() -> Config {
        Config { rows_max: 10, ..Config::everything(AttachPoint::Netfilter) }
    }

    fn of(change: impl FnOnce(&mut Config)) -> (Wanted, String) {
        let mut config = config();
        change(&mut config);
        let wanted = Wanted::of(&config).unwrap();
        let fingerprint = wanted.fingerprint(&config, b"object");
        (wanted, fingerprint)
    }

    #[test]
    fn a_digest_is_the_published_one() {
        // Of no parts nothing is hashed: what is left is the basis of FNV-1a.
        assert_eq!(digest(&[]), "6c62272e07bb014262b821756295c58d");
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }

    #[test]
    fn whatever_changes_what_is_counted_changes_the_fingerprint() {
        let (_, base) = of(|_| ());
        assert_eq!(base, of(|config| config.side = 2).1);
        assert_eq!(base, of(|config| config.directory = "/elsewhere".into()).1);
        let changes: [fn(&mut Config); 10] = [
            |config| config.rows_max = 11,
            |config| config.attach = AttachPoint::Tcx,
            |config| config.hooks = vec![],
            |config| config.priority = 7,
            |config| config.loopback = false,
            |config| config.interfaces = vec!["ppp0".to_owned()],
            |config| config.interfaces_excluded = vec![],
            |config| config.networks = vec![],
            |config| config.spec.local = vec![(Address::from_v4([10, 0, 0, 0]), 9, true)],
            |config| config.spec.columns = 1,
        ];
        for (number, change) in changes.into_iter().enumerate() {
            assert_ne!(base, of(change).1, "change {number}");
        }
        assert_ne!(base, of(|_| ()).0.fingerprint(&config(), b"another object"));
    }

    #[test]
    fn a_key_is_as_long_as_what_tells_rows_apart() {
        let bytes = |names: &[&str]| {
            let columns = KeySpec::columns_of(names.iter().copied()).unwrap();
            key_bytes(&KeySpec { columns, ..KeySpec::default() })
        };
        assert_eq!(bytes(&["host"]), 16);
        assert_eq!(bytes(&[]), 16);
        assert_eq!(bytes(&["host", "interface"]), 32);
        assert_eq!(bytes(&["protocol"]), 32);
        assert_eq!(bytes(&["host", "peer"]), 48);
    }

    #[test]
    fn masks_are_those_of_postings() {
        let (wanted, _) = of(|config| {
            config.spec.columns = KeySpec::columns_of(["host", "host_port"]).unwrap();
            (config.spec.ipv4_prefix_length, config.spec.ipv6_prefix_length) = (24, 64);
        });
        let settings = wanted.settings;
        assert_eq!(settings.host_mask, [[u64::MAX, 0xffff_ffff_ffff_ff00], [u64::MAX, 0]]);
        assert_eq!((settings.peer_mask, settings.meta_mask, settings.place_mask), ([[0; 2]; 2], 0xffff, 0));
        assert_eq!((settings.ports, settings.key_bytes), (1, 32));
    }

    #[test]
    fn too_much_is_refused() {
        let refused = |change: fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            Wanted::of(&config).unwrap_err()
        };
        assert!(
            refused(|config| config.interfaces = (0..33).map(|at| format!("eth{at}")).collect())
                .contains("more than 32")
        );
        assert!(refused(|config| config.interfaces = vec!["a/b".to_owned()]).contains("no name"));
        assert!(refused(|config| config.rows_max = 0).contains("above 0"));
    }
}
