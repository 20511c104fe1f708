import random, time, socket, tempfile
from pathlib import Path
from netledger.attribution.facts import Fact, Target, Kind
from netledger.attribution.timeline import Timeline, Place
from netledger.ledger.assignments import Assignments
from netledger.intervals import SECOND_NS, SystemClock
from netledger.ledger import Ledger
random.seed(1)
t=time.perf_counter()
facts=[]
for n in range(100_000):
    a=random.randrange(30000)
    s=random.randrange(30*86400)
    facts.append(Fact(target=Target(Kind.ADDRESS,f"10.{a>>16}.{a>>8&255}.{a&255}"),valid_from_ns=s*SECOND_NS,valid_to_ns=None if n%2 else (s+7200)*SECOND_NS,subject=f"user{a%5000}",source="isp",mac=f"aa:00:00:00:{a>>8&255:02x}:{a&255:02x}" if n%3==0 else None))
print("facts made", time.perf_counter()-t)
with tempfile.TemporaryDirectory() as d:
    l=Ledger(Path(d)/"s",clock=SystemClock()); l.open()
    b=Assignments(Path(d)/"s",SystemClock())
    t=time.perf_counter(); added=b.add(facts); print("add", len(added), time.perf_counter()-t)
    t=time.perf_counter(); added=b.add(facts); print("add again", len(added), time.perf_counter()-t)
    t=time.perf_counter(); f=b.facts(); print("read", len(f), time.perf_counter()-t)
    t=time.perf_counter(); f2=b.open_claims("isp"); print("open_claims", len(f2), time.perf_counter()-t)
    t=time.perf_counter(); 
    for i in range(100): b.add([Fact(target=Target.parse("10.9.9.9"),valid_from_ns=(10**9+i)*SECOND_NS,subject=f"u{i}",source="isp")])
    print("one by one x100", time.perf_counter()-t)
    one=[Fact(target=Target.parse("10.9.9.8"),valid_from_ns=i*SECOND_NS,valid_to_ns=(i+1)*SECOND_NS,subject=f"u{i}",source="isp") for i in range(100000)]
    t=time.perf_counter(); b.add(one[:20000]); print("20,000 of one target with ends", time.perf_counter()-t)
    one=[Fact(target=Target.parse("10.9.9.7"),valid_from_ns=i*SECOND_NS,subject=f"u{i}",source="isp") for i in range(20000)]
    t=time.perf_counter(); b.add(one[:20000]); print("20,000 of one target, open", time.perf_counter()-t)
    l.close()
t=time.perf_counter(); tl=Timeline(f); print("timeline", time.perf_counter()-t)
t=time.perf_counter()
n=0
for a in range(30000):
    n+=len(tl.segments(Place(bytes(10)+b"\xff\xff"+bytes([10,a>>16,a>>8&255,a&255])),0,30*86400*SECOND_NS))
print("segments", n, time.perf_counter()-t)
t=time.perf_counter()
for a in range(30000):
    tl.holder(Place(bytes(10)+b"\xff\xff"+bytes([10,a>>16,a>>8&255,a&255])),86400*SECOND_NS,(86400+300)*SECOND_NS)
print("holder 30000", time.perf_counter()-t)
