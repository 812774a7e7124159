// Code generated from the views by easel/static/expressions. DO NOT EDIT.
//
// Datastar calls Function with the text of each expression. Here it gets the function that was
// made of that text beforehand; a text that is not in the table does not run.
(() => {
  const table = new Map([
    ["el,$,__action,evt,evt|$['_images']=el.value", function (el,$,__action,evt,evt) {
$['_images']=el.value
    }],
    ["el,$,__action,evt,evt|$['_images']=el.value; document.getElementById(el.dataset.for).value=el.value", function (el,$,__action,evt,evt) {
$['_images']=el.value; document.getElementById(el.dataset.for).value=el.value
    }],
    ["el,$,__action,evt,evt|$['_left']=+el.dataset.limit-Array.from(el.value).length", function (el,$,__action,evt,evt) {
$['_left']=+el.dataset.limit-Array.from(el.value).length
    }],
    ["el,$,__action,evt,evt|$['_theme']=el.value; document.documentElement.dataset.theme=el.value; document.cookie='easel_theme='+el.value+'; path='+el.form.dataset.path+'; max-age=31536000; samesite=lax'", function (el,$,__action,evt,evt) {
$['_theme']=el.value; document.documentElement.dataset.theme=el.value; document.cookie='easel_theme='+el.value+'; path='+el.form.dataset.path+'; max-age=31536000; samesite=lax'
    }],
    ["el,$,__action,evt,evt|(evt.ctrlKey||evt.metaKey) && evt.key==='Enter' && (evt.preventDefault(), $['_busy'] || el.form.requestSubmit())", function (el,$,__action,evt,evt) {
(evt.ctrlKey||evt.metaKey) && evt.key==='Enter' && (evt.preventDefault(), $['_busy'] || el.form.requestSubmit())
    }],
    ["el,$,__action,evt,evt|__action(\"get\",evt,el.dataset.url); $['_top'] || window.scrollTo({top:0})", function (el,$,__action,evt,evt) {
__action("get",evt,el.dataset.url); $['_top'] || window.scrollTo({top:0})
    }],
    ["el,$,__action,evt,evt|__action(\"post\",evt,el.action,{contentType:'form'})", function (el,$,__action,evt,evt) {
__action("post",evt,el.action,{contentType:'form'})
    }],
    ["el,$,__action,evt,evt|__action(\"post\",evt,el.dataset.preview,{contentType:'form'})", function (el,$,__action,evt,evt) {
__action("post",evt,el.dataset.preview,{contentType:'form'})
    }],
    ["el,$,__action,evt,evt|document.cookie='easel_more='+(el.open?'1':'0')+'; path='+el.dataset.path+'; max-age=31536000; samesite=lax'", function (el,$,__action,evt,evt) {
document.cookie='easel_more='+(el.open?'1':'0')+'; path='+el.dataset.path+'; max-age=31536000; samesite=lax'
    }],
    ["el,$,__action,evt,evt|document.getElementById('keys').showModal()", function (el,$,__action,evt,evt) {
document.getElementById('keys').showModal()
    }],
    ["el,$,__action,evt,evt|document.getElementById('prompt').value=el.dataset.prompt; document.getElementById('prompt').dispatchEvent(new Event('input',{bubbles:true})); document.getElementById('prompt').focus()", function (el,$,__action,evt,evt) {
document.getElementById('prompt').value=el.dataset.prompt; document.getElementById('prompt').dispatchEvent(new Event('input',{bubbles:true})); document.getElementById('prompt').focus()
    }],
    ["el,$,__action,evt,evt|document.getElementById(el.dataset.for).value=''", function (el,$,__action,evt,evt) {
document.getElementById(el.dataset.for).value=''
    }],
    ["el,$,__action,evt,evt|document.getElementById(el.dataset.for).value=document.querySelector('#stage [data-seed]')?.dataset.seed||''", function (el,$,__action,evt,evt) {
document.getElementById(el.dataset.for).value=document.querySelector('#stage [data-seed]')?.dataset.seed||''
    }],
    ["el,$,__action,evt,evt|document.hidden || ($['_live'] && $['_net']!='retrying') || __action(\"get\",evt,el.dataset.url,{retry:'always',retryMaxWait:1500,retryMaxCount:Infinity,requestCancellation:'cleanup'})", function (el,$,__action,evt,evt) {
document.hidden || ($['_live'] && $['_net']!='retrying') || __action("get",evt,el.dataset.url,{retry:'always',retryMaxWait:1500,retryMaxCount:Infinity,requestCancellation:'cleanup'})
    }],
    ["el,$,__action,evt,evt|el.closest('details') && (evt.preventDefault(), el.closest('details').open=false)", function (el,$,__action,evt,evt) {
el.closest('details') && (evt.preventDefault(), el.closest('details').open=false)
    }],
    ["el,$,__action,evt,evt|el.closest('details').open=false; __action(\"post\",evt,el.action,{contentType:'form'})", function (el,$,__action,evt,evt) {
el.closest('details').open=false; __action("post",evt,el.action,{contentType:'form'})
    }],
    ["el,$,__action,evt,evt|el.parentElement.remove()", function (el,$,__action,evt,evt) {
el.parentElement.remove()
    }],
    ["el,$,__action,evt,evt|el.setAttribute('aria-busy','true'); __action(\"post\",evt,el.action,{contentType:'form'})", function (el,$,__action,evt,evt) {
el.setAttribute('aria-busy','true'); __action("post",evt,el.action,{contentType:'form'})
    }],
    ["el,$,__action,evt,evt|evt.detail.el===el && ($['_seen']=Date.now(), $['_net']=({retrying:'retrying','retries-failed':'down',error:'retrying'})[evt.detail.type] ?? (evt.detail.type.startsWith('datastar-') ? 'ok' : $['_net']))", function (el,$,__action,evt,evt) {
evt.detail.el===el && ($['_seen']=Date.now(), $['_net']=({retrying:'retrying','retries-failed':'down',error:'retrying'})[evt.detail.type] ?? (evt.detail.type.startsWith('datastar-') ? 'ok' : $['_net']))
    }],
    ["el,$,__action,evt,evt|evt.detail.el===el && evt.detail.type==='finished' && el.removeAttribute('aria-busy')", function (el,$,__action,evt,evt) {
evt.detail.el===el && evt.detail.type==='finished' && el.removeAttribute('aria-busy')
    }],
    ["el,$,__action,evt,evt|evt.preventDefault(), el.closest('details').open=false", function (el,$,__action,evt,evt) {
evt.preventDefault(), el.closest('details').open=false
    }],
    ["el,$,__action,evt,evt|evt.preventDefault(); el.closest('details').open=false", function (el,$,__action,evt,evt) {
evt.preventDefault(); el.closest('details').open=false
    }],
    ["el,$,__action,evt,evt|evt.target===el && el.close()", function (el,$,__action,evt,evt) {
evt.target===el && el.close()
    }],
    ["el,$,__action,evt,evt|navigator.clipboard?.writeText(el.dataset.copy).then(() => { el.dataset.done='1' })", function (el,$,__action,evt,evt) {
navigator.clipboard?.writeText(el.dataset.copy).then(() => { el.dataset.done='1' })
    }],
    ["el,$,__action,evt|$['_theme']=el.dataset.chosen", function (el,$,__action,evt) {
$['_theme']=el.dataset.chosen
    }],
    ["el,$,__action,evt|$['_top'] && el.click()", function (el,$,__action,evt) {
$['_top'] && el.click()
    }],
    ["el,$,__action,evt|$['_top']=false", function (el,$,__action,evt) {
$['_top']=false
    }],
    ["el,$,__action,evt|$['_top']=true; document.querySelector('#fresh a')?.click()", function (el,$,__action,evt) {
$['_top']=true; document.querySelector('#fresh a')?.click()
    }],
    ["el,$,__action,evt|__action(\"get\",evt,el.dataset.url)", function (el,$,__action,evt) {
__action("get",evt,el.dataset.url)
    }],
    ["el,$,__action,evt|document.hidden && __action(\"get\",evt,el.dataset.url,{openWhenHidden:true})", function (el,$,__action,evt) {
document.hidden && __action("get",evt,el.dataset.url,{openWhenHidden:true})
    }],
    ["el,$,__action,evt|document.hidden || Date.now()-__action(\"peek\",evt,() => $['_seen'])>45000 && ($['_seen']=Date.now(), __action(\"get\",evt,el.dataset.url,{retry:'always',retryMaxWait:1500,retryMaxCount:Infinity,requestCancellation:'cleanup'}))", function (el,$,__action,evt) {
document.hidden || Date.now()-__action("peek",evt,() => $['_seen'])>45000 && ($['_seen']=Date.now(), __action("get",evt,el.dataset.url,{retry:'always',retryMaxWait:1500,retryMaxCount:Infinity,requestCancellation:'cleanup'}))
    }],
    ["el,$,__action,evt|document.hidden || __action(\"get\",evt,el.dataset.url,{retry:'always',retryMaxWait:1500,retryMaxCount:Infinity,requestCancellation:'cleanup'})", function (el,$,__action,evt) {
document.hidden || __action("get",evt,el.dataset.url,{retry:'always',retryMaxWait:1500,retryMaxCount:Infinity,requestCancellation:'cleanup'})
    }],
    ["el,$,__action,evt|return (!($['_net']=='retrying'||$['_net']=='down'));", function (el,$,__action,evt) {
return (!($['_net']=='retrying'||$['_net']=='down'));
    }],
    ["el,$,__action,evt|return ($['_adding']);", function (el,$,__action,evt) {
return ($['_adding']);
    }],
    ["el,$,__action,evt|return ($['_adding']?'true':'false');", function (el,$,__action,evt) {
return ($['_adding']?'true':'false');
    }],
    ["el,$,__action,evt|return ($['_busy']);", function (el,$,__action,evt) {
return ($['_busy']);
    }],
    ["el,$,__action,evt|return ($['_busy']?'true':'false');", function (el,$,__action,evt) {
return ($['_busy']?'true':'false');
    }],
    ["el,$,__action,evt|return ($['_cancelling']);", function (el,$,__action,evt) {
return ($['_cancelling']);
    }],
    ["el,$,__action,evt|return ($['_left']<0 ? -$['_left']+' characters too many' : $['_left']+' characters left');", function (el,$,__action,evt) {
return ($['_left']<0 ? -$['_left']+' characters too many' : $['_left']+' characters left');
    }],
    ["el,$,__action,evt|return ($['_left']===''||$['_left']===undefined||$['_left']>500);", function (el,$,__action,evt) {
return ($['_left']===''||$['_left']===undefined||$['_left']>500);
    }],
    ["el,$,__action,evt|return ($['_saving']);", function (el,$,__action,evt) {
return ($['_saving']);
    }],
    ["el,$,__action,evt|return ($['_saving']?'true':'false');", function (el,$,__action,evt) {
return ($['_saving']?'true':'false');
    }],
    ["el,$,__action,evt|return ($['_testing']);", function (el,$,__action,evt) {
return ($['_testing']);
    }],
    ["el,$,__action,evt|return (($['_images']||el.parentElement.dataset.typed)==el.value?'true':'false');", function (el,$,__action,evt) {
return (($['_images']||el.parentElement.dataset.typed)==el.value?'true':'false');
    }],
    ["el,$,__action,evt|return (($['_theme']||el.form.dataset.chosen)==el.value?'true':'false');", function (el,$,__action,evt) {
return (($['_theme']||el.form.dataset.chosen)==el.value?'true':'false');
    }],
  ]);
  const original = globalThis.Function;
  function Function(...parts) {
    const made = table.get(parts.slice(0, -1).join(',') + '|' + parts.at(-1));
    if (!made) throw new EvalError('not an expression of these pages');
    return made;
  }
  Function.prototype = original.prototype;
  globalThis.Function = Function;
  // Datastar parses patches into a template. Nothing in them runs: the policy allows no inline
  // script and no handler attribute, and the table no other expression.
  globalThis.trustedTypes?.createPolicy('default', {createHTML: (html) => html});
})();
