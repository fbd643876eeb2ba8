#!/usr/bin/env python3
"""What 1,000 hostile URL patterns cost everyone else: p99 of a plain fan-out with and without them, in turn.

    cargo build --release -p tidewire
    python3 bench/hostile_patterns.py 4        # rounds

200 subscribers of one topic get 100 events a second, while another publisher uses a new topic 100 times a second. Loopback only; about 20 s a
round. Prints latencies in microseconds and the hub's resident memory in KiB.
"""
import json, os, socket, subprocess, sys, threading, time, urllib.parse, random
BIN=os.environ.get("BIN", "target/release/tidewire")
def start():
    p=subprocess.Popen([BIN,"serve","--memory","--listen","127.0.0.1:0","--heartbeat","60s"],stdout=subprocess.PIPE,stderr=subprocess.DEVNULL,text=True)
    url=p.stdout.readline().split()[1].strip(); return p,url
def hostile(url,n):
    host,port=url.split("//")[1].strip("/").split(":"); socks=[]
    for i in range(n):
        k=i%4
        if k==0: pat="https://*.example.com/"+"/".join([f":a{j}(x*y*z*|{i}|[a-z]+)" for j in range(4)])
        elif k==1: pat="/"+"*".join(f"a{j}{i}" for j in range(8))+"*"
        elif k==2: pat=f"/(a|b|{i})*/:x(\\\\w+-\\\\w+)?/*"
        else: pat=f"/:a-:b-:c{i}/*-*-*"
        s=socket.create_connection((host,int(port)))
        t="/.well-known/mercure?match_urlpattern="+urllib.parse.quote(pat,safe="")
        s.sendall(f"GET {t} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head=s.recv(300).decode(errors="replace")
        if not head.startswith("HTTP/1.1 200"): print(pat, head[:400]); sys.exit(1)
        socks.append(s)
    return socks
def churn(url,stop):
    host,port=url.split("//")[1].strip("/").split(":")
    s=socket.create_connection((host,int(port))); n=0
    while not stop.is_set():
        n+=1
        s.sendall(f"POST /topics/a{random.random()}/b-c-d/{n}-x-y HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1\r\n\r\nx".encode()); s.recv(4096); time.sleep(0.01)
def one(with_patterns):
    p,url=start()
    try:
        socks=hostile(url,1000) if with_patterns else []
        stop=threading.Event(); th=threading.Thread(target=churn,args=(url,stop)); th.start()
        out=subprocess.run([BIN,"bench","fanout","--url",url,"--subscribers","200","--rate","100","--duration","8s","--json"],capture_output=True,text=True)
        stop.set(); th.join()
        rss=[l for l in open(f"/proc/{p.pid}/status") if l.startswith("VmRSS")][0].split()[1]
        try: d=json.loads(out.stdout)
        except Exception: print(out.stdout[:300],out.stderr[:600]); raise
        return d,int(rss)
    finally:
        p.terminate(); p.wait()
if __name__=="__main__":
    rounds=int(sys.argv[1]) if len(sys.argv)>1 else 3
    for r in range(rounds):
        for w in (False,True):
            d,rss=one(w)
            print("with" if w else "without", json.dumps(d.get("latency_ms") or d.get("latency") or {k:v for k,v in d.items() if not isinstance(v,list)})[:300], "rss", rss, flush=True)
