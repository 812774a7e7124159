// Takes pictures for forms at once, so that they are seen before anything is made of them: a file that is
// chosen, dropped on its field, or pasted anywhere on the page. Without it the form carries a chosen file itself.
(() => {
	'use strict';
	const fieldOf = (target) => target?.closest?.('.picture-field');

	let turns = 0;
	const say = (field, text) => { field.querySelector('[data-said]').textContent = text; };
	const hold = (field, sum, thumbnail) => {
		field.querySelector('input[type=hidden]').value = sum;
		field.querySelector('.given')?.remove();
		field.querySelector('[data-remove]').hidden = !sum;
		if (!sum) return;
		const given = document.createElement('div');
		given.className = 'given';
		const image = document.createElement('img');
		image.alt = `${field.querySelector('label').textContent}, as it was given`;
		image.src = thumbnail;
		given.append(image);
		field.querySelector('label').after(given);
	};
	// The size whose shape is nearest to the picture's; whoever wants another chooses it afterwards.
	const fit = (form, ratio) => {
		const off = ({ value }) => {
			const [width, height] = value.split('x').map(Number);
			return Math.abs(Math.log(width / height / ratio));
		};
		const shapes = [...form.querySelectorAll('[name=shape]')].filter(({ value }) => value.includes('x'));
		const nearest = shapes.sort((a, b) => off(a) - off(b))[0];
		if (nearest) nearest.checked = true;
	};
	const send = async (field, file) => {
		const turn = String(++turns); // of several the last one counts
		field.dataset.turn = turn;
		say(field, 'Sending…');
		let held, problem;
		try {
			const answer = await fetch(field.dataset.uploads, {
				method: 'POST', body: file, signal: AbortSignal.timeout(120000),
				headers: { Accept: 'application/json', 'Content-Type': file.type || 'application/octet-stream' },
			});
			const said = await answer.json();
			if (!answer.ok) throw new Error(said.errors?.[0]?.message ?? said.detail);
			held = said;
		} catch (error) {
			problem = error.name === 'TypeError' || error.name === 'TimeoutError' ? 'The picture could not be sent. Is Easel there?' : error.message;
		}
		if (field.dataset.turn !== turn) return;
		field.querySelector('input[type=file]').value = ''; // it has been sent, or will not be taken
		say(field, problem ?? '');
		if (!held) return;
		hold(field, held.sha256, held.thumbnailUrl);
		fit(field.closest('form'), held.width / held.height);
	};

	document.addEventListener('change', ({ target }) => {
		const field = target.type === 'file' && fieldOf(target);
		if (field && target.files.length) send(field, target.files[0]);
	});
	document.addEventListener('click', ({ target }) => {
		if (target.closest('[data-remove]')) hold(fieldOf(target), '');
	});
	for (const moves of ['dragover', 'dragleave', 'drop']) {
		document.addEventListener(moves, (event) => {
			const field = fieldOf(event.target);
			if (!field || !event.dataTransfer.types.includes('Files')) return;
			event.preventDefault(); // else the browser leaves the page for the file
			field.toggleAttribute('data-over', moves === 'dragover');
			if (moves === 'drop' && event.dataTransfer.files.length) send(field, event.dataTransfer.files[0]);
		});
	}
	document.addEventListener('paste', (event) => {
		const file = [...event.clipboardData?.files ?? []].find(({ type }) => type.startsWith('image/'));
		const fields = [...document.querySelectorAll('.picture-field')];
		const field = fieldOf(event.target) ?? fields.find((f) => !f.querySelector('input[type=hidden]').value) ?? fields[0];
		if (!file || !field) return;
		event.preventDefault();
		send(field, file);
	});
})();
