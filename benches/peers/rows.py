#!/usr/bin/env python3
"""Realistic rows in COPY text format on stdout.  usage: rows.py TABLE ROWS SEED

Prose, titles and URL slugs come from the documentation installed on the machine
(/usr/share/doc, /usr/share/common-licenses, Python's own sources), words from
/usr/share/dict when present; identifiers, uuids, floats and attachments are random.
"""
import sys, os, re, random, gzip, glob, json, datetime, binascii, sysconfig

table, rows, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
R = random.Random(seed)
out = sys.stdout.buffer
T0 = datetime.datetime(2024, 1, 1)

def corpus(limit=24 << 20):
    files = sorted(glob.glob('/usr/share/common-licenses/*'))
    std = sysconfig.get_paths()['stdlib']
    files += sorted(glob.glob('/usr/share/doc/*/*')) + sorted(glob.glob('/usr/share/perl/*/pod/*.pod'))
    files += sorted(glob.glob(std + '/*.py')) + sorted(glob.glob(std + '/*/*.py'))
    seen, sent, size = set(), [], 0
    rr = random.Random(7); rr.shuffle(files)
    for f in files:
        if not os.path.isfile(f): continue
        try:
            d = (gzip.open(f) if f.endswith('.gz') else open(f, 'rb')).read(400000).decode('utf-8', 'ignore')
        except Exception:
            continue
        if '\0' in d: continue
        for s in re.split(r'(?<=[.!?])\s+|\n\s*\n', d):
            s = ' '.join(s.split())
            if 30 < len(s) < 400 and s not in seen and sum(c.isalpha() for c in s) > 0.6 * len(s):
                seen.add(s); sent.append(s); size += len(s)
        if size > limit: break
    return sent

def esc(s):
    return s.replace('\\', '\\\\').replace('\t', '\\t').replace('\n', '\\n').replace('\r', '\\r')

S = corpus()
W = sorted({w for s in S[:40000] for w in re.findall(r'[a-z]{3,12}', s)})
if os.path.exists('/usr/share/dict/words'):
    W = sorted(set(W) | {w.strip().lower() for w in open('/usr/share/dict/words', errors='ignore') if w.strip().isalpha()})
g = R.getrandbits
def uuid():
    h = '%032x' % g(128)
    return h[:8] + '-' + h[8:12] + '-4' + h[13:16] + '-a' + h[17:20] + '-' + h[20:]
def zipf(n, a=2.2):
    return min(n - 1, int(R.paretovariate(a - 1)) * (1 + int(R.random() * 17)))
def ts(i, step):
    t = T0 + datetime.timedelta(seconds=i * step + R.random() * step)
    return t.isoformat(' ') + '+00'
def sent(n):
    k = int(R.random() * len(S)); return ' '.join(S[(k + j) % len(S)] for j in range(n))
def emit(cols):
    buf.append('\t'.join(cols))
    if len(buf) >= 2000:
        out.write(('\n'.join(buf) + '\n').encode()); buf.clear()
buf = []
KINDS = ['page_view', 'login', 'logout', 'api_call', 'purchase', 'search', 'upload', 'download', 'error', 'job_run', 'email_sent', 'webhook']
UAS = ['Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.%d Safari/537.36',
       'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:%d.0) Gecko/%d.%d Firefox/121.0',
       'Mozilla/5.0 (iPhone; CPU iPhone OS 17_%d like Mac OS X) AppleWebKit/605.%d.%d (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1',
       'curl/8.%d.%d-%d', 'python-requests/2.%d.%d+%d']
UA = [R.choice(UAS) % (R.randint(1, 120), R.randint(1, 6000), R.randint(1, 200)) for _ in range(400)]
PATHS = ['/' + '/'.join(R.choice(W) for _ in range(R.randint(1, 4))) for _ in range(5000)]

if table == 'events':
    base = seed * 100_000_000
    for i in range(rows):
        k = KINDS[zipf(12) % 12]
        p = {'request_id': uuid(), 'path': PATHS[zipf(5000, 1.6)], 'status': R.choice((200, 200, 200, 200, 201, 204, 301, 302, 400, 401, 404, 500)),
             'bytes': int(R.lognormvariate(8, 2)), 'took': round(R.lognormvariate(-3, 1), 6), 'cache': R.random() < .4}
        x = R.random()
        if x < .35: p['message'] = sent(1)
        if x > .5: p['params'] = {R.choice(W): R.choice(W), 'q': ' '.join(R.choice(W) for _ in range(3)), 'page': g(5)}
        if x > .8: p['geo'] = {'lat': round(R.uniform(-90, 90), 6), 'lon': round(R.uniform(-180, 180), 6)}
        emit((str(base + i), uuid(), ts(i, 9.3), str(zipf(200000, 1.4)), k, str(g(3)), esc(json.dumps(p, ensure_ascii=False)),
              repr(R.lognormvariate(3, 1)), '%d.%d.%d.%d' % (10 + g(5), g(8), g(8), g(8)), UA[zipf(400, 1.5)], esc(sent(1)) if x < .25 else '\\N'))
elif table == 'documents':
    base = seed * 10_000_000
    for i in range(rows):
        # paragraphs start at random sentences: the text is natural, its order is not a copy of a file
        body = '\n\n'.join(sent(R.randint(2, 5)) for _ in range(R.randint(2, 9)))
        emit((str(base + i), esc(' '.join(R.choice(W) for _ in range(5)).title()), '-'.join(R.choice(W) for _ in range(4)), esc(body),
              '{' + ','.join(R.choice(W) for _ in range(4)) + '}', ts(i, 900), '%064x' % g(256)))
elif table == 'order_lines':
    base = seed * 100_000_000
    for i in range(rows):
        q = 1 + g(3); pr = round(R.lognormvariate(3, 1.2), 2)
        emit((str(base + i), str(base // 10 + i // 3), 'SKU-%06d' % zipf(400000, 1.3), str(q), '%.2f' % pr, '%.4f' % (R.random() * .3),
              '%.2f' % (q * pr), ts(i, 12.1), R.choice(('new', 'paid', 'paid', 'paid', 'shipped', 'shipped', 'returned'))))
elif table == 'metrics':
    v = [R.uniform(0, 100) for _ in range(300)]
    for i in range(rows):
        s = i % 300; v[s] += R.gauss(0, .4)
        emit((ts(i, 2.0), str(s), repr(v[s]), repr(round(v[s] * 1.8 + 32, 3)), str(g(16))))
elif table == 'attachments':
    base = seed * 1_000_000
    for i in range(rows):
        b = R.randbytes(int(R.lognormvariate(9, 1))) if hasattr(R, 'randbytes') else os.urandom(8192)
        emit((str(base + i), esc(R.choice(W) + '.jpg'), 'image/jpeg', '\\\\x' + binascii.hexlify(b).decode(), ts(i, 1000)))
elif table == 'small':
    for i in range(rows):
        emit((str(i), R.choice(W), esc(sent(1)), str(round(R.uniform(0, 1e4), 2)), ts(i, 3600), 't' if g(1) else 'f'))
if buf: out.write(('\n'.join(buf) + '\n').encode())
