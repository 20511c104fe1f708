"""What the command lines are made of."""

import re


def _words(text: str) -> tuple[str, ...]:
    """One piece of a command line, between semicolons, after the other."""
    return tuple(" ".join(piece.split()) for piece in text.split(";"))


PROTOCOLS = ("tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "gre")

_EVERYWHERE = (
    "",
    *_words("""
    -f ipv4; -f ipv6; -p tcp; -p udp; -p icmp; -p icmpv6; -p gre; -p esp; -p 253; -p sctp;
    -p tcp --state ESTABLISHED; -p tcp --state TIME_WAIT; -p tcp --state LISTEN; -p tcp --state SYN_SENT2; -m 5;
    -m 0x105; -m 5/7; -m 0x5/0xff; -m 0; -m 6/1; -m 5/0; -u ASSURED; -u SEEN_REPLY; -u SEEN_REPLY,ASSURED;
    -u UNREPLIED; -u !ASSURED; -u EXPECTED; -u fixed; -u OFFLOAD; -u hw; -u A; -u UNSET; -u SRC_NAT;
    -u !SEEN_REPLY,!ASSURED; -u ASSURED,!SEEN_REPLY; -n; -g; -j; -n -g; -w 0; -w 4; -w 7; --orig-zone 0;
    --orig-zone 5; --orig-zone 8; --reply-zone 0; --reply-zone 9; -p udp -n; -p icmp -n; -p tcp -g; -p udp -j;
    -p icmp -j; -f ipv6 -n; -p icmp --icmp-type 8; -p icmp --icmp-code 1; -p icmpv6 --icmpv6-type 128;
    -p gre --srckey 5; -p gre --dstkey 0; -p gre --reply-key-src 0; -p gre --reply-key-dst 7
"""),
)
_MADE = _words("""
    -s 10.0.0.1; -s 10.0.0.0/8; -s 10.0.0.0/; -s 10.0.0.1/32; -s 10.0.0.4/30 -d 10.0.0.2; -s 10.1; -d fd00::2;
    -d fd00::/8; -d fd00::2/128; -r 10.0.0.2; -r 10.0.0.98; -q 10.0.0.99; -q fd00::99; -r fd00::2 -p tcp;
    --mask-src 255.0.0.0 -s 10.9.9.9; --mask-src 255.0.255.0 -s 10.0.0.9; -s 10.9.9.9 --mask-src 255.0.0.0;
    --mask-dst ffff:: -d fd00::; --orig-src 10.0.0.1; --orig-dst 10.0.0.2 -p udp; -s 10.0.0.1 -s 10.0.0.3;
    -s 10.0.0.0/8 -s 10.0.0.3; -p tcp -p udp; -p udp --sport 1; -p udp --dport 2 --sport 1;
    -p udp --reply-port-src 77; -p udp --reply-port-dst 1; -p tcp --spo 1; -p tcp --orig-port-src 1;
    -p udp -s 10.0.0.1 --sport 3; -n 10.0.0.99; -n 10.0.0.98; -n 10.0.0.99:5; -n 10.0.0.99:1; -n fd00::99;
    -n fd00::98; -n [fd00::99]:5; -g 10.0.0.98; -g 10.0.0.98:77; -g 10.0.0.98:78; -j 10.0.0.98; -j 10.0.0.99;
    -j 10.0.0.98:77; -j 10.0.0.99 -p udp; -j 10.0.0.98 -s 10.0.0.7; -n10.0.0.98; --src-nat=10.0.0.98;
    --dst-nat=10.0.0.99; --any-nat=10.0.0.1; -p icmp --icmp-id 77; -p icmp --icmp-id 5;
    -p icmp -r 10.0.0.2 --icmp-type 8; -p icmp -r 10.0.0.2 --icmp-id 77; -p gre --srckey 17; -p gre --srckey 0x11;
    -p gre --dstkey 042; -p sctp --state ESTABLISHED; -p sctp --state CLOSED; -p sctp --sport 11;
    -p dccp --dport 14; -p udplite --dport 14; -p tcp --state SYN_SENT -w 7; -m 5 -p tcp; -u SEEN_REPLY -m 5;
    -w 7 -m 0; -w 0x7; -w 007; -p 0x11; -p TCP; -f ipv4x; -a 1 -p tcp; -f ipv4 -s 10.0.0.1
""")
_TRAFFIC = _words("""
    -s 10.77.1.2; -s 10.77.0.0/16 -p udp; -d 10.78.0.1; -d fd77:2::2; -r 10.77.2.2 -p tcp; -q 10.77.2.1;
    -q fd77:2::1; -n 10.77.2.1; -n 10.77.2.1:4444; -g 10.77.2.2; -g 10.77.2.2:9071; -g fd77:2::2; -n fd77:2::1;
    -n fd77:2::9; -j 10.77.2.2; -j 10.77.2.1:4444; -p tcp --dport 21; -p tcp --dport 5001; -p udp --dport 9000;
    -p udp --dport 9070; -p udp --reply-port-src 9071; -p udp --dport 7; -p udp --sport 4000 -f ipv6
""")
ONE = _words("""
    -p udp -s 10.0.0.1 -d 10.0.0.2 --sport 3 --dport 4; -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2;
    -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 --state ESTABLISHED;
    -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 --state CLOSE;
    -p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 3; -p tcp -s fd00::7 -d fd00::2 --sport 1 --dport 2;
    -p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0 --icmp-id 77;
    -p icmp -s 10.0.0.1 -d 10.0.0.2 --icmp-type 8 --icmp-code 0;
    -p gre -s 10.0.0.1 -d 10.0.0.2 --srckey 17 --dstkey 34;
    -p icmpv6 -s fd00::1 -d fd00::2 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 78;
    -p sctp -s 10.0.0.3 -d 10.0.0.2 --sport 11 --dport 12 --orig-vtag 8;
    -p sctp -s 10.0.0.3 -d 10.0.0.2 --sport 11 --dport 12;
    -p udplite -s 10.0.0.3 -d 10.0.0.2 --sport 13 --dport 14; -p esp -s 10.0.0.3 -d 10.0.0.2;
    -p 253 -s fd00::3 -d fd00::2; -p tcp -s 10.0.0.4 -d 10.0.0.2 --sport 1 --dport 2;
    -p udp -s 10.0.0.5 -d 10.0.0.2 --sport 1 --dport 2; -p udp -s 10.0.0.6 -d 10.0.0.2 --sport 1 --dport 2;
    -p udp -r 10.0.0.2 -q 10.0.0.1 --reply-port-src 4 --reply-port-dst 3; -p esp -r 10.0.0.2 -q 10.0.0.3;
    -p udp -s 10.0.0.1 -d 10.0.0.2 --reply-port-src 4 --reply-port-dst 3;
    -p udp -s 10.0.0.1 -d 10.0.0.2 -r 10.0.0.2 -q 10.0.0.1 --sport 3 --dport 4 --reply-port-src 4 --reply-port-dst 3
""")
SPELLINGS = _words("""
    --dump; --du; --dump expect; -L --protonum tcp; -L --proto tcp; -L --pro=tcp; -L -ptcp; -L -zp tcp;
    -L --famil ipv6; -L --fam=ipv6; -L -fipv6; -L --orig; -L --orig-s 10.0.0.1; -L --reply; -L --src=10.0.0.1;
    -L --src; -L -s; -L --dst= -p tcp; -L -p; -L --mark 5; -L --ma 5; -L --mar 5; -L --out xml; -L --st ASSURED;
    -L --sta ASSURED; -L --stat ASSURED; -L --status ASSURED; -L --zero=1; -L --ze; -L --nosuch; -L -X; -X; -L -Qz;
    -Qz; -L -p tcp --dp 2; -L -p tcp --dpo 2; -L -p tcp --reply-port-s 2; -L -p tcp --orig-port 2; -L --dport 80;
    foo -L; foo -L bar; -L -p tcp foo; -L -- -p tcp; -L --; - -L; -L -; -L !; -Lexpect; --dump=expect;
    --dump=nosuch; -Cexpect; -L -o; -L -o nosuch; -L -o ,xml; -L -o xml,; -L -o xml,,id; -L -o xml,save;
    -L -o save,xml; -L -o xml -o save; -L -o save -o save; -L -o s; -L -o id -o extended; -L -o DST; -L -u bogus;
    -L -u ,ASSURED; -L -u ASSURED,; -L -u !; -L -u !bogus; -L -u ASSURED,!; -L -u DST_NAT,ASSURED;
    -L -u UNREPLIEDx; -L -u seen,!a; -E -e BOGUS; -E -e NEW,; -E -e ,; -L -s 1.2.3.400; -L -s 10.0.0.0/33;
    -L -s 10.0.0.1/x; -L -s fd00::/129; -L -s /8; -L -s 10.0.0.0/-1; -L -s 10.0.0.0/+8; -L -r 10.0.0.0/8; -L -q x;
    -L -d fd00::1 -s 10.0.0.1; -L -s 10.0.0.1 -f ipv6; -L -f ip; -L -f; -L -f inet; -L --mask-src 255.0.0.0;
    -L --mask-src 10.0.0.0/8 -s 10.0.0.1; -L --mask-dst 255.0.0.0; -L --mask-dst 255.0.0.0 -d fd00::2;
    -D --mask-src 255.0.0.0; -L -n 10.0.0.99:; -L -n 10.0.0.99:x; -L -n 10.0.0.99:65536; -L -n []:5; -L -n [fd00;
    -L -n [fd00::99]; -L -n 10.0.0.0/8; -L -n x; -L -n :5; -L -j -n; -L -g -j; -L -l foo; -L -l foo,bar;
    -L --label-add x --label-del y; -L --label-del; -D -l foo; -L -p tcp --state est; -L -p sctp --state X;
    -L -p dccp --state X; -L -p dccp --state OPEN; -L -p dccp --role x; -L -p dccp --role client;
    -L -p tcp --state; -L -z -p tcp; -L -z -s 10.0.0.1; -L -z -m 5; -L -z -u ASSURED; -L -z -w 7; -L -z -n;
    -L dying -z; -L unconfirmed -z -p tcp; -L -w abc; -L -w 65543; -L -w -1; -L -m abc; -L -m 5/x; -L -m /5;
    -L -m 4294967301; -D -w abc; -D -m abc; -L -c 5; -L -c x; -D -t 5; -D -p tcp -t 5; -D -i x;
    -L -p tcp --dport http; -L -p tcp --sport 65537; -L -p tcp --sport 1x; -L -p icmp --icmp-type 264;
    -L -p gre --srckey x; -D -p tcp --sport x; -E -L; -L -L; -L -z -E; -h -s 1.1.1.1; -h -p nosuch;
    -D -u UNREPLIED; -D -u !SEEN_REPLY; -D -u UNSET; -D -u SRC_NAT; -I; -U; -A; -R x; --create; --load-file x;
    -D expect; -F expect; --strict-output; -L --strict-output -p tcp; -L dying -s 10.0.0.0/8; -L -d 10.0.0.2 -i 5;
    -L -e NEW; -E extra; -p tcp; -f ipv4; --reply-zone 1
""")
OPTIONS = _words("""
    -s 10.0.0.1; -d 10.0.0.2; -r 10.0.0.2; -q 10.0.0.1; -p tcp; -t 5; -u ASSURED; -z; -e NEW; --tuple-src 10.0.0.1;
    --tuple-dst 10.0.0.1; --mask-src 255.0.0.0; --mask-dst 255.0.0.0; -a 1; -m 5; -i 5; -f ipv4; -n; -g; -o id;
    -c 5; -b 5000; -j; -w 5; -l x; --label-add x; --label-del; --orig-zone 1; --reply-zone 1; -X; -s x; -p nosuch
""")
_PORTS = _words("""
    --sport 1; --dport 1; --sport 1 --dport 2; --reply-port-src 1; --reply-port-dst 1; --mask-port-src 1;
    --tuple-port-dst 1; --reply-port-src 1 --reply-port-dst 2
""")
OF_PROTOCOLS = {
    "tcp": (*_PORTS, *_words("--state CLOSE; --sport 1 --dport 2 --state CLOSE; --state X")),
    "udp": (*_PORTS, *_words("--state X")),
    "udplite": (*_PORTS,),
    "sctp": (*_PORTS, *_words("--orig-vtag 1; --reply-vtag 1; --sport 1 --dport 2 --orig-vtag 1; --state CLOSED")),
    "dccp": (*_PORTS, *_words("--role client; --role SERV; --state OPEN; --sport 1 --dport 2 --role s")),
    "icmp": _words("--icmp-type 8; --icmp-code 0; --icmp-id 5; --icmp-type 8 --icmp-code 0"),
    "icmpv6": _words("--icmpv6-type 128; --icmpv6-code 0; --icmpv6-id 5; --icmpv6-type 128 --icmpv6-code 0"),
    "gre": _words("""
        --srckey 1; --dstkey 1; --orig-key-src 1 --orig-key-dst 2; --reply-key-src 1; --mask-key-src 1;
        --tuple-key-dst 1
    """),
    "esp": ("", *_words("--sport 1")),
}
ATTACHED = _words("""
    -Lexpect; --dump=expect; --dump=nosuch; -Cexpect; -Lp tcp; -Lf ipv6; -Lz -p udp; -Lo bogus; -Lz; -Dp tcp; -Fz; -Vx;
    -L -n10.0.0.98; -L --src-nat=10.0.0.98; -L --dst-nat=10.0.0.99; -L --any-nat=10.0.0.1; -L -j10.0.0.98; -L -g10.0.0.9
""")
ENDS = _words("""
    -s 10.0.0.1; -s 10.0.0.1 -d 10.0.0.2; -r 10.0.0.1 -q 10.0.0.2
""")


def of(space: str) -> tuple[str, ...]:
    """The filters that make sense for the flows of a namespace; none comes twice."""
    own = {"made": _MADE, "traffic": _TRAFFIC}[space]
    return tuple(dict.fromkeys((*_EVERYWHERE, *own)))


def has(words: str, *patterns: str) -> bool:
    """Whether one of the patterns is there, as whole words."""
    return any(re.search(rf"(?:^|(?<= ))(?:{pattern})(?= |$)", words) for pattern in patterns)
