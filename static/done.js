// Says when a generation is done, as this visitor has chosen: by a sound, a notification, or push
// messages while no page is open. See docs/notifications.md.
//
// A page that is seen knows from its own stream: what says data-generation and data-phase is followed. One in the
// background holds no stream; it asks for the generations that it knew to run, now and then.
(() => {
	'use strict';
	const { base, key } = document.currentScript.dataset;
	const lookEvery = 5000; // ms; browsers stretch it in pages long unseen
	const most = 20; // generations that are followed at once
	const ends = ['complete', 'failed', 'cancelled'];

	// What was chosen lies in cookies, so that the settings page shows it in its first HTML.
	const chosen = (what) => document.cookie.split('; ').includes(`easel_${what}=1`);
	const choose = (what, on) => {
		document.cookie = `easel_${what}=${on ? 1 : 0}; path=${base}; max-age=31536000; samesite=lax`;
	};

	// Lists of ids: live is what ran when this tab last looked, asked what any tab wants to hear of, told what one
	// has told. A browser that keeps nothing has empty ones.
	const stores = { live: 'sessionStorage', asked: 'localStorage', told: 'localStorage', browser: 'localStorage' };
	const read = (name, otherwise = []) => {
		try {
			return JSON.parse(window[stores[name]].getItem(`easel_${name}`)) ?? otherwise;
		} catch {
			return otherwise;
		}
	};
	const write = (name, value) => {
		try {
			window[stores[name]].setItem(`easel_${name}`, JSON.stringify(value));
		} catch { /* nothing is remembered, then */ }
	};
	const put = (name, id, there) => {
		const others = read(name).filter((other) => other !== id);
		write(name, there ? [...others, id].slice(-most) : others);
	};
	const followed = () => [...new Set([...read('live'), ...read('asked')])];
	const wanted = () => chosen('sound') || chosen('notice') || read('asked').length > 0;

	// ---- sound: two notes, made here

	let audio;
	const unlock = () => {
		audio ??= new AudioContext();
		return audio.resume();
	};
	const play = async () => {
		// Before anybody has pressed anything, resume waits for that.
		await Promise.race([unlock(), new Promise((done) => { setTimeout(done, 1000); })]);
		if (audio.state !== 'running') return;
		[659.25, 880].forEach((hertz, i) => {
			const at = audio.currentTime + i * 0.18;
			const note = new OscillatorNode(audio, { frequency: hertz });
			const loudness = new GainNode(audio, { gain: 0 });
			loudness.gain.setValueAtTime(0, at);
			loudness.gain.linearRampToValueAtTime(0.2, at + 0.02);
			loudness.gain.exponentialRampToValueAtTime(0.001, at + 0.6);
			note.connect(loudness).connect(audio.destination);
			note.start(at);
			note.stop(at + 0.7);
		});
	};
	for (const gesture of ['pointerdown', 'keydown']) {
		document.addEventListener(gesture, () => { if (wanted()) unlock(); }, { once: true, passive: true });
	}

	// ---- notifications, by the service worker: phones know no other way

	const policy = window.trustedTypes?.createPolicy('worker', { createScriptURL: (url) => url });
	const worker = async () => {
		const url = `${base}sw.js`;
		await navigator.serviceWorker.register(policy ? policy.createScriptURL(url) : url, { scope: base, updateViaCache: 'none' });
		return navigator.serviceWorker.ready;
	};
	// The empty text, or what is in the way.
	const permission = async () => {
		if (!('Notification' in window) || !navigator.serviceWorker) return 'This browser shows notifications only for https addresses, and for this machine.';
		if (Notification.permission === 'default') await Notification.requestPermission();
		return Notification.permission === 'granted' ? '' : 'The browser allows this site no notifications; its settings can change that.';
	};
	const mayNotify = () => 'Notification' in window && navigator.serviceWorker && Notification.permission === 'granted';
	const titleOf = (g) => {
		if (g.status === 'failed') return 'Generation failed';
		if (g.status === 'cancelled') return 'Generation cancelled';
		return g.images.length > 1 ? `${g.images.length} pictures complete` : 'Picture complete';
	};
	const notify = async (g) => (await worker()).showNotification(titleOf(g), {
		body: (g.status === 'failed' && g.errorMessage || g.prompt).slice(0, 100),
		tag: g.id, // the one of a push message about the same takes its place
		icon: g.images.find((image) => image.thumbnailUrl)?.thumbnailUrl,
		data: { url: `${base}generations/${g.id}` },
	});

	// ---- push messages

	const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
	const same = (a, b) => a?.byteLength === b.byteLength && new Uint8Array(a).every((byte, i) => byte === b[i]);
	const ask = async (method, path, body) => {
		const answer = await fetch(`${base}api/${path}`, {
			method, body: body && JSON.stringify(body), signal: AbortSignal.timeout(10000),
			headers: { Accept: 'application/json', ...(body && { 'Content-Type': 'application/json' }) },
		});
		const said = answer.status === 204 || answer.status === 202 ? {} : await answer.json();
		if (!answer.ok) throw Object.assign(new Error(said.errors?.[0]?.message ?? said.detail), { status: answer.status });
		return said;
	};
	// Our key changes with the installation's secret, and an endpoint when the browser likes.
	const subscription = async (make) => {
		const { pushManager } = await worker();
		const ours = bytes(key);
		let found = await pushManager.getSubscription();
		if (found && !same(found.options.applicationServerKey, ours)) {
			await found.unsubscribe();
			found = null;
		}
		return found ?? (make ? pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: ours }) : null);
	};
	const subscribe = async (what) => {
		const browser = await subscription(true);
		const { endpoint } = read('browser', {});
		const { id } = await ask('POST', 'push/subscriptions', { ...browser.toJSON(), ...(endpoint && { replaces: endpoint }), ...what });
		write('browser', { id, endpoint: browser.endpoint });
	};
	const forget = async () => {
		const { id } = read('browser', {});
		write('browser', {});
		await (await subscription(false))?.unsubscribe();
		if (id) await ask('DELETE', `push/subscriptions/${id}`).catch((problem) => { if (problem.status !== 404) throw problem; });
	};
	const renew = async () => {
		if (!chosen('push') || !mayNotify()) return;
		const present = await subscription(false);
		if (!present || present.endpoint !== read('browser', {}).endpoint) await subscribe({ every: true });
	};

	// ---- what has ended

	const seen = () => !document.hidden && document.hasFocus();
	const tell = async (g, asked) => {
		if (g.status === 'cancelled' && !asked) return; // whoever did that knows
		if (read('told').includes(g.id)) return; // another tab was first
		put('told', g.id, true);
		if (chosen('sound') || asked && !mayNotify()) play();
		if ((chosen('notice') || asked) && mayNotify() && !seen()) await notify(g);
	};
	const shownLive = (id) => !document.hidden && document.querySelector(`[data-generation="${CSS.escape(id)}"]:not([data-phase=complete], [data-phase=failed], [data-phase=cancelled])`);

	let looking = false, again = false;
	const look = async () => {
		again = true;
		if (looking || !wanted()) return;
		looking = true;
		try {
			while (again) {
				again = false;
				for (const id of followed().filter((id) => !shownLive(id))) {
					const g = await ask('GET', `generations/${id}`).catch((problem) => {
						if (problem.status !== 404) throw problem;
						return { status: 'deleted' };
					});
					if (!ends.includes(g.status) && g.status !== 'deleted') continue;
					const asked = read('asked').includes(id);
					put('live', id, false);
					put('asked', id, false);
					if (g.id) await tell(g, asked);
				}
			}
		} catch { /* away, or Easel is: the next look comes */ } finally {
			looking = false;
		}
	};
	const scan = () => {
		const live = read('live'), asked = read('asked');
		for (const { dataset: { generation, phase } } of document.querySelectorAll('[data-generation]')) {
			const runs = !ends.includes(phase);
			if (runs && !live.includes(generation)) put('live', generation, true);
			if (!runs && (live.includes(generation) || asked.includes(generation))) look();
		}
		for (const button of document.querySelectorAll('[data-tell]')) {
			const pressed = String(asked.includes(button.dataset.tell));
			if (button.getAttribute('aria-pressed') !== pressed) button.setAttribute('aria-pressed', pressed);
		}
	};

	// ---- what is pressed

	const say = (text) => {
		const place = document.querySelector('[data-done-said]') ?? document.getElementById('notice');
		if (place.id !== 'notice') {
			place.textContent = text;
			return;
		}
		place.replaceChildren();
		if (!text) return;
		const box = document.createElement('p');
		box.className = 'notice';
		box.textContent = text;
		place.append(box);
		setTimeout(() => box.remove(), 8000);
	};
	const unreachable = 'The push service of this browser could not be reached.';
	const turn = {
		sound: async (on) => {
			if (on) play();
		},
		notice: async (on) => {
			const problem = on ? await permission() : '';
			if (on && !problem) await worker();
			return problem;
		},
		push: async (on) => {
			if (!on) return forget();
			const problem = await permission();
			if (problem) return problem;
			if (!('PushManager' in window)) return 'This browser knows no Web Push.';
			return subscribe({ every: true }).catch((problem) => (problem.status ? problem.message : unreachable));
		},
	};
	document.addEventListener('change', async ({ target }) => {
		const what = target.dataset?.done;
		if (!what) return;
		const on = target.checked;
		const problem = await turn[what](on).catch((problem) => problem.message);
		if (problem) target.checked = !on;
		else choose(what, on);
		if (on) { // what ended while nobody wanted to know stays untold
			write('live', []);
			scan();
		}
		say(problem ?? '');
	});
	const tryOut = async () => {
		const { id } = read('browser', {});
		if (chosen('sound')) play();
		if (chosen('push') && id) await ask('POST', `push/subscriptions/${id}/test`);
		else if (chosen('notice')) (await worker()).showNotification('Easel', { body: 'It will say so when a generation is done.', tag: 'try' });
		return ['sound', 'notice', 'push'].some(chosen) ? '' : 'Choose something first.';
	};
	const tellOf = async (id, on) => {
		put('asked', id, on);
		scan();
		const browser = read('browser', {}).id;
		if (!on) return browser && ask('DELETE', `push/subscriptions/${browser}/generations/${id}`).then(() => '', () => '');
		unlock();
		const problem = await permission();
		if (problem) return `${problem} A sound will tell you while this page is open.`;
		await worker();
		// Without it a page that is open tells.
		if ('PushManager' in window) await subscribe({ generation: id }).catch(() => {});
		return '';
	};
	document.addEventListener('click', ({ target }) => {
		const button = target.closest('[data-tell], [data-try]');
		if (!button) return;
		const pressed = 'try' in button.dataset ? tryOut() : tellOf(button.dataset.tell, button.getAttribute('aria-pressed') !== 'true');
		pressed.then((problem) => say(problem || ''), (problem) => say(problem.message));
	});

	// ---- when to look

	new MutationObserver(scan).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-phase'] });
	setInterval(look, lookEvery);
	for (const [source, events] of [[document, ['visibilitychange', 'resume']], [window, ['pageshow', 'online', 'storage']]]) {
		for (const event of events) source.addEventListener(event, () => { scan(); look(); });
	}
	navigator.serviceWorker?.addEventListener('message', look);
	scan();
	renew().catch(() => {}); // at the next page
})();
