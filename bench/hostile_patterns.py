#!/usr/bin/env python3
"""What 1,000 hostile patterns cost everyone else: the latency of a plain fan-out without them, with them, and with as many subscribers
of cheap patterns that get the same events, in turn.

    cargo build --release -p tidewire
    python3 bench/hostile_patterns.py 4                  # rounds
    python3 bench/hostile_patterns.py 4 near --pad 900   # patterns of another set, topics longer by so many bytes

200 subscribers of one topic get 100 events a second, while another publisher uses a new topic 100 times a second. Loopback only; about 35 s
a round. Prints latencies in microseconds, the hub's processor time for a new topic in microseconds, and its resident memory in KiB.

Sets of patterns:
  hostile    four kinds of URL patterns. A quarter of them, those with (a|b|N)*, match every topic, also that of everyone else: 250
             more deliveries of each of the 200 events a second
  near       URL patterns chosen against the hub's search for literals: each literal of each stands in every topic, and only the last
             group says no. They match nothing
  templates  URI templates of 17 expressions, whose literals stand in every topic. They match nothing

The control of the first set is 250 subscribers of `/*`, which is quick, and 750 of plain topics that nobody uses: its deliveries are the
same, and nothing is tried for them. What is left between it and the patterns is what trying costs.

On a machine that does other things: `chrt -r 5 python3 ...` shields hub, clients and publishers alike.
"""
import argparse, json, os, random, socket, statistics, subprocess, sys, threading, time, urllib.parse
BIN=os.environ.get("BIN", "target/release/tidewire")
PATTERNS=1000

def start():
    p=subprocess.Popen([BIN,"serve","--memory","--listen","127.0.0.1:0","--heartbeat","60s"],stdout=subprocess.PIPE,stderr=subprocess.DEVNULL,text=True)
    url=p.stdout.readline().split()[1].strip(); return p,url

def matcher(kind,i):
    if kind=="hostile":
        k=i%4
        if k==0: pat="https://*.example.com/"+"/".join([f":a{j}(x*y*z*|{i}|[a-z]+)" for j in range(4)])
        elif k==1: pat="/"+"*".join(f"a{j}{i}" for j in range(8))+"*"
        elif k==2: pat=f"/(a|b|{i})*/:x(\\\\w+-\\\\w+)?/*"
        else: pat=f"/:a-:b-:c{i}/*-*-*"
        return "match_urlpattern",pat
    if kind=="near": return "match_urlpattern",f"/*a0*/b-c-d/*-x(|-|[a-d]|q{i})-([a-x]|{i})"
    if kind=="templates": return "topic","{+a}{b*}/{/c*}"*8+f"{{n{i}}}-x-y"
    return ("match_urlpattern","/*") if i%4==2 else ("topic",f"unused/{i}")

def subscribe(url,kind,n):
    host,port=url.split("//")[1].strip("/").split(":"); socks=[]
    for i in range(n):
        name,pat=matcher(kind,i)
        s=socket.create_connection((host,int(port)))
        t=f"/.well-known/mercure?{name}="+urllib.parse.quote(pat,safe="")
        s.sendall(f"GET {t} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head=s.recv(300).decode(errors="replace")
        if not head.startswith("HTTP/1.1 200"): print(pat, head[:400]); sys.exit(1)
        socks.append(s)
    return socks

def received(socks):
    n=0
    for s in socks:
        s.setblocking(False)
        try:
            while True:
                got=s.recv(1<<20)
                n+=got.count(b"\ndata:")+got.startswith(b"data:")
                if not got: break
        except BlockingIOError: pass
    return n

def churn(url,stop,count,pad):
    host,port=url.split("//")[1].strip("/").split(":")
    s=socket.create_connection((host,int(port)))
    while not stop.is_set():
        count[0]+=1
        s.sendall(f"POST /topics/a{random.random()}{'p'*pad}/b-c-d/{count[0]}-x-y HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1\r\n\r\nx".encode()); s.recv(4096); time.sleep(0.01)

def processor_ms(pid):
    """Of the threads that are there; all live as long as the hub."""
    ns=0
    for task in os.listdir(f"/proc/{pid}/task"):
        ns+=int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0])
    return ns/1e6

def one(kind,pad,subscribers,seconds):
    p,url=start()
    try:
        socks=subscribe(url,kind,PATTERNS) if kind!="nobody" else []
        stop=threading.Event(); count=[0]; th=threading.Thread(target=churn,args=(url,stop,count,pad)); th.start()
        before=processor_ms(p.pid)
        out=subprocess.run([BIN,"bench","fanout","--url",url,"--subscribers",str(subscribers),"--rate","100","--duration",f"{seconds}s","--json"],capture_output=True,text=True)
        spent=processor_ms(p.pid)-before
        stop.set(); th.join()
        rss=[l for l in open(f"/proc/{p.pid}/status") if l.startswith("VmRSS")][0].split()[1]
        try: d=json.loads(out.stdout)
        except Exception: print(out.stdout[:300],out.stderr[:600]); raise
        l=d["latency_us"]
        return {"p50":l["p50"],"p99":l["p99"],"cpu_ms":spent,"topics":count[0],"rss":int(rss),"got":received(socks)}
    finally:
        p.terminate(); p.wait()

if __name__=="__main__":
    a=argparse.ArgumentParser(); a.add_argument("rounds",type=int,nargs="?",default=3); a.add_argument("set",nargs="?",default="hostile",choices=["hostile","near","templates"])
    a.add_argument("--pad",type=int,default=0); a.add_argument("--subscribers",type=int,default=200); a.add_argument("--seconds",type=int,default=8)
    a=a.parse_args()
    kinds=["nobody"]+(["control"] if a.set=="hostile" else [])+[a.set]
    results={kind:[] for kind in kinds}
    for r in range(a.rounds):
        for kind in (kinds if r%2==0 else kinds[::-1]):
            results[kind].append(one(kind,a.pad,a.subscribers,a.seconds)); print(kind,results[kind][-1],flush=True)
    median=lambda kind,what: statistics.median(one[what] for one in results[kind])
    for kind in kinds:
        extra=statistics.median((x["cpu_ms"]-y["cpu_ms"])/x["topics"]*1000 for x,y in zip(results[kind],results["nobody"]))
        ratio=lambda what: median(kind,what)/median("nobody",what)
        least=min(one["p99"] for one in results[kind])
        print(f"{kind}: p50 {median(kind,'p50'):.0f} ({ratio('p50'):.2f}x) p99 {median(kind,'p99'):.0f} ({ratio('p99'):.2f}x, least {least}),",
              f"more processor time a new topic {extra:.0f}, delivered to them {median(kind,'got'):.0f}, resident {median(kind,'rss'):.0f}")
