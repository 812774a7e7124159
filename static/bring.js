// Dropping a file on the page, or pasting one or its text, fills the form [data-bring] and sends it. Without this
// script the form works by its own controls.
(() => {
	'use strict';
	const form = document.querySelector('form[data-bring]');
	if (!form) return;
	const file = form.querySelector('input[type=file]');
	const text = form.querySelector('textarea[name=text]');
	let depth = 0;

	const over = (on) => form.toggleAttribute('data-over', on);
	const holdsFiles = (event) => event.dataTransfer && [...event.dataTransfer.types].includes('Files');
	const bring = (files) => {
		const one = new DataTransfer();
		one.items.add(files[0]);
		file.files = one.files;
		form.requestSubmit();
	};

	document.addEventListener('dragenter', (event) => {
		if (holdsFiles(event)) over(++depth > 0);
	});
	document.addEventListener('dragleave', (event) => {
		if (holdsFiles(event)) over(--depth > 0);
	});
	document.addEventListener('dragover', (event) => {
		if (holdsFiles(event)) event.preventDefault(); // else the browser opens the file instead of the page
	});
	document.addEventListener('drop', (event) => {
		if (!holdsFiles(event)) return;
		event.preventDefault();
		depth = 0;
		over(false);
		if (event.dataTransfer.files.length > 0) bring(event.dataTransfer.files);
	});
	document.addEventListener('paste', (event) => {
		if (event.target instanceof Element && event.target.closest('input, textarea')) return; // it goes there
		if (event.clipboardData.files.length > 0) {
			event.preventDefault();
			bring(event.clipboardData.files);
			return;
		}
		const pasted = event.clipboardData.getData('text/plain').trim();
		if (!pasted.startsWith('{')) return;
		event.preventDefault();
		text.value = pasted;
		form.requestSubmit();
	});
	file.addEventListener('change', () => {
		if (file.files.length > 0) form.requestSubmit();
	});
})();
