// The service worker. It shows what a push message says, also while no page of Easel is open, and
// leads to the generation. It keeps nothing, and answers no request.
'use strict';

self.addEventListener('install', (event) => event.waitUntil(self.skipWaiting()));
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

const pages = () => self.clients.matchAll({ type: 'window', includeUncontrolled: true });

self.addEventListener('push', (event) => event.waitUntil((async () => {
	let told;
	try {
		told = event.data.json();
	} catch {
		told = { title: 'Easel', body: 'Something is done.' }; // browsers want each message shown
	}
	const open = await pages();
	for (const page of open) page.postMessage('ended'); // those in the background look what has
	await self.registration.showNotification(told.title, {
		body: told.body,
		tag: told.tag,
		icon: told.icon,
		silent: open.some((page) => page.focused),
		data: { url: told.url },
	});
})()));

// The push service has given this browser another endpoint. Without the old one nobody here can say what it
// was to be told: the next page that is opened does.
self.addEventListener('pushsubscriptionchange', (event) => event.waitUntil((async () => {
	const { oldSubscription, newSubscription } = event;
	if (!oldSubscription) return;
	const { publicKey } = await (await fetch('api/push')).json();
	const browser = newSubscription ?? await self.registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: publicKey });
	await fetch('api/push/subscriptions', {
		method: 'POST',
		headers: { 'Content-Type': 'application/json' },
		body: JSON.stringify({ ...browser.toJSON(), replaces: oldSubscription.endpoint }),
	});
})()));

self.addEventListener('notificationclick', (event) => {
	event.notification.close();
	event.waitUntil((async () => {
		const url = new URL(event.notification.data?.url ?? '', self.registration.scope);
		if (url.origin !== self.location.origin) return;
		const open = (await pages()).find((page) => new URL(page.url).pathname === url.pathname);
		await (open ? open.focus() : self.clients.openWindow(url.href));
	})());
});
