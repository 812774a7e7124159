// Keys that work on every page: / search, ? the list of keys, j and k or the arrows from one
// generation to the next, Escape closes what is open. Links and fields say what they answer to
// with data-key, so this file knows no page.
(() => {
	'use strict';
	const typing = (el) => el.closest('input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]');
	const names = { ArrowLeft: 'k', ArrowRight: 'j' };

	const closeOpen = () => {
		for (const el of document.querySelectorAll('details[data-escape][open]')) {
			el.open = false;
			el.querySelector('summary').focus();
		}
	};

	document.addEventListener('keydown', (event) => {
		if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
		if (event.key === 'Escape') {
			closeOpen();
			return;
		}
		const at = event.target instanceof Element ? event.target : document.body;
		if (typing(at)) return;
		// The arrows belong to radio buttons while one has the focus.
		if (event.key in names && at.closest('input, summary, button, dialog')) return;
		if (event.key === '?') {
			const keys = document.getElementById('keys');
			if (keys && !keys.open) keys.showModal();
			event.preventDefault();
			return;
		}
		const key = names[event.key] || event.key;
		if (!/^[jk/]$/.test(key)) return;
		const target = document.querySelector(`[data-key="${key}"]`);
		if (!target) return;
		event.preventDefault();
		if (target.matches('input')) {
			target.focus();
			target.select();
		} else {
			target.click();
		}
	});
})();
